"""What `--json` prints. The text output says the same in words, and `--help` is generated from these shapes;
`root_shapes` has those of all nodes below a root, `simulate_shapes` those of simulated attempts.

**Append-only**: every key stays, keeps its meaning and type, and is always printed. New keys may come.
Times are UTC, `2026-11-23T15:20:05Z`; sizes are in bytes; what is not known is null. The value `doomed`
means what the text calls expired. On an error stdout is empty, and `Failure` goes to stderr. A node with
nothing to restore, and what `verify` and `doctor` find, are not errors, though the exit code is not 0.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal, TypeAlias

import msgspec


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One checkpoint.

    `checkpoint`: the reference, as in LATEST and for `ckptptr use`. `id`: null for a plain folder. `url`:
    of the manifest, or of the plain folder. `files`: how many. `parent`: the reference of the checkpoint
    that its run had resumed from; for a forward copy, that of its source. `metadata`: what the save was
    given; null if the manifest was not read, or for a plain folder.
    """

    checkpoint: str
    id: str | None = None
    url: str | None = None
    step: int | None = None
    attempt: int | None = None
    seq: int | None = None
    bytes: int | None = None
    files: int | None = None
    published_at: str | None = None
    published_by: str | None = None
    parent: str | None = None
    pinned: bool = False
    metadata: dict[str, Any] | None = None


class Latest(msgspec.Struct, frozen=True, kw_only=True):
    """LATEST itself.

    `checkpoint`: as LATEST has it, `none` for a fresh start; null if LATEST is absent or damaged. `step`:
    of that checkpoint; null after a person's edit. `held_by`: `edit` if the checksum does not match, else
    `use`; null if it is not held. `fence`: the highest attempt that published or adopted, or of which
    a person named a checkpoint; null if there is none. `damage`: what is wrong. `guarantee`:
    `compare-and-swap`, `last-writer-wins` or `unproven`.
    `moved_at`, `moved_by`, `moved_with`: when its target or hold changed last, by whom and by what (`save`,
    `restore`, `use`, `rollback`, `release`, `clean`, `edit`); null if that is not known. For an edit the time
    is the store's.
    """

    url: str
    state: Literal["absent", "written", "edited", "damaged"]
    checkpoint: str | None
    step: int | None
    held: bool
    held_by: Literal["edit", "use"] | None
    note: str
    fence: int | None
    written_by: str | None
    damage: str | None
    guarantee: str
    moved_at: str | None = None
    moved_by: str | None = None
    moved_with: str | None = None


Verdict: TypeAlias = Literal["pointer", "history", "walkback", "plain", "fresh", "origin"]
Outcome: TypeAlias = Literal["taken", "rejected", "absent", "next", "unknown"]
State: TypeAlias = Literal["target", "history", "unnamed", "doomed"]
Todo: TypeAlias = Literal["nothing", "decide", "act"]
Source: TypeAlias = Literal["latest", "history", "homes", "doomed"]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate of a restore.

    `outcome`: `taken`; `rejected` with a `reason`; `absent`, nothing is there; `next`, the ones to try if
    a digest of the taken one is wrong; `unknown`, one of those, but the store did not answer.
    `source`: where it was found; `homes` is the walk-back, `doomed` an expired checkpoint.
    """

    outcome: Outcome
    reference: str
    source: Source
    reason: str
    checkpoint: Checkpoint | None


class Show(msgspec.Struct, frozen=True, kw_only=True):
    """`checkpoint`: what the next attempt would restore, null for a fresh start; `why`: the reason.
    `warnings`: more that a person should know. `as_attempt`: the number of that attempt. `engine`: what
    moves payload to and from this machine; `engine_why`: why that does; `block_bytes`: in which blocks it
    sends large files; `blocks_at_once`, `connections`: at most, of a large file and of many small ones; null
    on a disk.
    """

    command: str = "show"
    node: str
    as_attempt: int
    verdict: Verdict
    why: str
    warnings: list[str]
    checkpoint: Checkpoint | None
    latest: Latest
    candidates: list[Candidate]
    engine: str
    engine_why: str
    block_bytes: int | None
    blocks_at_once: int | None
    connections: int | None


class Entry(Checkpoint, frozen=True, kw_only=True):
    """One line of `ckptptr log`.

    `index`: for `ckptptr use '#3'`, valid until the next save. `state`: `unnamed` is complete but not in
    LATEST, `doomed` is expired. `held`: it is the target of a held LATEST. `problem`: why it cannot be
    restored, and `problem_code` of which kind; null if its manifest is good.
    """

    index: int
    state: State
    held: bool
    problem: str | None
    problem_code: str | None


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """`checkpoints`: the newest first. `index`: for `ckptptr use '#3'`, valid until the next save. `state`:
    `unnamed` is complete but not in LATEST, `doomed` is expired. `problem`: why it cannot be restored.
    """

    command: str = "log"
    node: str
    latest: Latest
    checkpoints: list[Entry]


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """`before` and `latest`: LATEST before and now. `verdict`, `checkpoint`, `why`: what the next attempt
    would restore now. `undo`: the arguments of the command that goes back, null if there is none;
    `undo_command`: the same as a line for a shell. `kept_as`: where the bytes of a damaged LATEST are.
    `dropped`: references of checkpoints that were dropped by the same move.
    """

    command: str
    node: str
    before: Latest
    latest: Latest
    verdict: Verdict
    why: str
    warnings: list[str]
    checkpoint: Checkpoint | None
    undo: list[str] | None
    undo_command: str | None
    kept_as: str | None
    dropped: list[str] = []


class Drop(msgspec.Struct, frozen=True, kw_only=True):
    """`checkpoints`: what was dropped; it has expired, and the next sweep deletes it. `latest`: LATEST."""

    command: str = "drop"
    node: str
    checkpoints: list[Checkpoint]
    latest: Latest


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """`pinned`: now; `was_pinned`: before. `undo`: the arguments of the command that goes back, null if
    nothing was changed, or if the checkpoint has expired or is damaged; `undo_command`: the same as a line
    for a shell.
    """

    command: str
    node: str
    checkpoint: Checkpoint
    pinned: bool
    was_pinned: bool
    latest: Latest
    undo: list[str] | None
    undo_command: str | None


Soundness: TypeAlias = Literal["good", "unverified", "damaged", "gone", "newer-format"]


class Flaw(msgspec.Struct, frozen=True, kw_only=True):
    """A problem of one file of a checkpoint; of its manifest if `path` is null."""

    path: str | None
    object: str
    problem: str


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """One verified checkpoint. `state`: `unverified` is a plain folder, which has no digests; `gone` is
    deleted. `node`: the node prefix, if TARGET is an execution."""

    checkpoint: Checkpoint
    state: Soundness
    problems: list[Flaw]
    node: str | None = None


class Verify(msgspec.Struct, frozen=True, kw_only=True):
    """`state`: `unverified` is a plain folder, which has no digests; `gone` is deleted. `deep`: every digest
    was compared, and `bytes_read` were fetched. `path`: null for a problem of the manifest. If TARGET is an
    execution, `node` is it; checkpoints of several nodes are then listed, the worst first.
    """

    command: str = "verify"
    node: str
    deep: bool
    bytes_read: int
    checkpoints: list[Verified]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that was skipped, and why."""

    reference: str
    reason: str


class Get(msgspec.Struct, frozen=True, kw_only=True):
    """`destination`: an absolute path; `files`: the paths below it. `verified`: false for a plain folder.
    `rejected`: candidates that were skipped, and why.
    """

    command: str = "get"
    node: str
    checkpoint: Checkpoint
    destination: str
    files: list[str]
    bytes: int
    verified: bool
    rejected: list[Refused]


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """`destination`: the URL of the plain folder. `files`: how many."""

    command: str = "export"
    node: str
    checkpoint: Checkpoint
    destination: str
    files: int
    bytes: int


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint to delete. `why`: `doomed` is expired, an `orphan` was never published. `node`: the node
    prefix, if TARGET is an execution."""

    reference: str
    why: Literal["doomed", "orphan"]
    node: str | None = None


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """`checkpoints`: what is deleted, or with `dry_run` would be; `doomed` is expired, an `orphan` was never
    published. `objects`, `bytes`: their payload. `kept`: not deleted, since a damaged manifest in
    the same home might need them, or the next attempt would restore them. `swept`: the deleted ones, empty
    with `dry_run`. `refused`: nodes of an execution whose LATEST is held, absent or damaged, and why; nothing
    is deleted there.
    """

    command: str = "sweep"
    node: str
    dry_run: bool
    checkpoints: list[Leaving]
    objects: int
    bytes: int
    kept: list[str]
    swept: list[str]
    refused: dict[str, str] = {}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that `ckptptr doctor` looked at.

    `level`: `ok`; `note`, worth knowing; `problem`, something to repair. `check`: a word that keeps its
    meaning, or the `code` of the error that stopped a check. `what`: in sentences. `object`: usually a
    URL. `type`: what to type, a line for a shell. `todo`: whether a person has to do anything: `nothing`,
    `decide` or `act`.
    """

    level: Literal["ok", "note", "problem"]
    check: str
    what: str
    object: str | None = None
    type: str | None = None
    todo: Todo = "nothing"


class NodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """A node of an execution, or all indices of a map task.

    `name`: the id of the node, `n1-0-n*` for a map task. `url`: the node prefix, of the worst one. `nodes`:
    how many. `looked_at`: `all` as for one node, or only each `LATEST`. `held`, `damaged`: how many have such
    a LATEST. `steps`: the lowest and the highest that LATEST names. `findings`: of the worst one, not `ok`.
    """

    name: str
    url: str
    nodes: int
    looked_at: Literal["all", "LATEST"]
    level: Literal["ok", "note", "problem"]
    problems: int
    notes: int
    held: int
    damaged: int
    steps: list[int]
    findings: list[Finding]


class Doctor(msgspec.Struct, frozen=True, kw_only=True):
    """`findings`: problems first, then notes, then `ok`. `check`: a word that keeps its meaning. `type`: what
    to type, a line for a shell. `todo`: whether a person has to do anything. `node`: null without TARGET, or
    if it cannot be read. `next`: as in `ckptptr show`, null if that is unknown. `execution`: if TARGET is
    one; `nodes` are then its nodes, the worst first, and `findings` are of this machine.
    """

    command: str = "doctor"
    node: str | None
    next: Show | None
    findings: list[Finding]
    execution: str | None = None
    nodes: list[NodeRow] = []


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """`code`: as in `ckptptr.errors`, `usage` or `interrupted`. `nodes`: those that TARGET may mean.
    `looked_at`: the places that were looked at and are empty."""

    code: str
    message: str
    key: str = ""
    hint: str = ""
    nodes: list[str] = []
    looked_at: list[str] = []


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Any error."""

    error: Error
    exit_code: int


_ESCAPED = re.compile("[\x7f-\x9f\ud800-\udfff]")


def encode(shape: msgspec.Struct) -> str:
    """Indented JSON. Control characters, which a terminal obeys, are escaped, and so is half a character: a
    name on a disk, or in an argument, need not be UTF-8."""
    text = json.dumps(msgspec.to_builtins(shape), indent=2, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
