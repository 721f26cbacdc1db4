"""What `--json` prints of all nodes below a root; append-only, as `inspect.shapes` says."""

from __future__ import annotations

from typing import Literal

import msgspec


class NodeFound(msgspec.Struct, frozen=True, kw_only=True):
    """One node of Flyte, from its LATEST. `url`: the node prefix. `name`: the id of the node."""

    url: str
    project: str
    domain: str
    execution: str
    name: str
    state: Literal["absent", "written", "edited", "damaged", "newer-format"]
    checkpoint: str | None
    step: int | None
    bytes: int | None
    published_at: str | None
    held: bool
    note: str
    problem: str | None
    checked: Literal["good", "passed-over", "nothing"] | None = None
    written_at: str | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """How many nodes there are: with a problem, held without one, and the rest."""

    nodes: int
    damaged: int
    held: int
    readable: int


class Find(msgspec.Struct, frozen=True, kw_only=True):
    """`nodes`: the newest publish first. `url`: the node prefix; `name`: the id of the node. `step`, `bytes`,
    `published_at`: of the target of LATEST, null after a person's edit. `problem`: why LATEST cannot be
    read, or with `--check` why its target cannot be restored. `checked`: null without `--check`; `good`, the
    next attempt restores what LATEST asks for; `passed-over`, it restores another checkpoint; `nothing`, it
    finds none. `written_at`: when LATEST was written last, by the clock of the store. `summary`: counts of
    all nodes that `--project` and `--older-than` leave, also of those that are not listed.
    """

    command: str = "find"
    root: str
    nodes: list[NodeFound]
    summary: Summary


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What the nodes of a project, domain or execution hold, or one node: what `--by` does not tell is null.

    `checkpoints`: the committed ones. `objects`, `bytes`: all of them, with LATEST and manifests.
    `written_at`: when the newest of them was written; null if the store does not say.
    """

    project: str | None
    domain: str | None
    execution: str | None
    name: str | None
    nodes: int
    checkpoints: int
    objects: int
    bytes: int
    expired_objects: int
    expired_bytes: int
    orphaned_objects: int
    orphaned_bytes: int
    written_at: str | None


class Unowned(msgspec.Struct, frozen=True, kw_only=True):
    """Homes that belong to no node with a LATEST."""

    homes: int
    objects: int
    bytes: int
    written_at: str | None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """`rows`: the largest first; `total`: of all of them. `expired_bytes`: of payload that retention has
    released and a sweep would free; `orphaned_bytes`: of payload that was never published, and that a sweep
    would free too. `unowned`: homes that belong to no node with a LATEST; they are in no row, and count only
    if ROOT is a raw-output base. `written_at`: when the newest object was written, by the clock of the store.
    """

    command: str = "du"
    root: str
    by: Literal["project", "domain", "execution", "node"]
    total: Used
    rows: list[Used]
    unowned: Unowned


class Cleaned(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that is over. `checkpoints`, `objects`, `bytes`: what is deleted of it.

    `nodes`: how many have something to delete. `written_at`: when anything of it was written last, by the
    clock of the store. `keeps`: references of what stays. `why_not`: why nothing, or not all, is deleted.
    """

    project: str
    domain: str
    execution: str
    nodes: int
    checkpoints: int
    objects: int
    bytes: int
    written_at: str | None
    keeps: list[str]
    why_not: str | None


class Clean(msgspec.Struct, frozen=True, kw_only=True):
    """`executions`: what was deleted, or with `--dry-run` would be; `kept`: those that are over, but stay.
    `before`: what was written later counts as moving. `moving`: how many executions do. `objects`, `bytes`:
    of `executions`.
    """

    command: str = "clean"
    root: str
    before: str
    dry_run: bool
    keep_latest: bool
    executions: list[Cleaned]
    kept: list[Cleaned]
    moving: int
    objects: int
    bytes: int
