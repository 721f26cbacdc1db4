"""What `--json` prints, and what the text says in words: one shape, two renderings.

**Append-only**: a key never goes, never changes its meaning or its type, and is always there. New
keys may come. Times are UTC, `2026-11-23T15:20:05Z`; sizes are in bytes; what is not known is null.
On an error nothing is printed to stdout; `Failure` goes to stderr. (Not errors, though the exit code
is not 0: `show` and `log` of a node that has nothing to restore, what `verify` and `doctor` find.)
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One checkpoint.

    `checkpoint`: the reference, as LATEST names it and `ckptptr use` takes it. `id`: null for a plain
    folder. `url`: of the manifest, or of the plain folder. `files`: how many. `parent`: the reference
    of what the run that wrote it had resumed from; on a forward copy, of what it is a copy of.
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


class Latest(msgspec.Struct, frozen=True, kw_only=True):
    """LATEST itself.

    `checkpoint`: as it stands there, `none` for a fresh start; null where it is absent or damaged.
    `step`: of that, where LATEST says it; a person's edit does not.
    `held_by`: `edit` where its checksum is not right, else `use`; null where it is not held. `fence`:
    null where none is in force. `damage`: exactly what is wrong. `guarantee`: what the store gives.
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


Verdict: TypeAlias = Literal["pointer", "history", "walkback", "plain", "fresh"]
Outcome: TypeAlias = Literal["taken", "rejected", "absent", "next", "unknown"]
State: TypeAlias = Literal["target", "history", "unnamed", "doomed"]
Source: TypeAlias = Literal["latest", "history", "homes", "doomed"]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate of a restore.

    `outcome`: `taken`; `rejected` with a `reason`; `absent`, nothing is there; `next`, what would be
    tried were the one taken found damaged when it is fetched (a few of them); `unknown`: one of those,
    and the store did not let us look at it. `source`: what led to it; `homes` is the walk-back,
    `doomed` what retention had let go.
    """

    outcome: Outcome
    reference: str
    source: Source
    reason: str
    checkpoint: Checkpoint | None


class Show(msgspec.Struct, frozen=True, kw_only=True):
    """`ckptptr show`: `checkpoint` is what the next attempt would restore, null for a fresh start.

    `why`: in a sentence. `warnings`: what a person should know besides. `as_attempt`: the number of
    the attempt in whose place this was resolved. `engine`: what moves payload from and to here.
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


class Entry(Checkpoint, frozen=True, kw_only=True):
    """One line of `ckptptr log`.

    `index`: what `ckptptr use '#3'` takes, until the next save. `state`: `unnamed` is committed, and
    LATEST does not name it. `held`: it is the target and a person holds it. `problem`: why it cannot
    be restored, and `problem_code` the kind of that; null where its manifest is good.
    """

    index: int
    state: State
    held: bool
    problem: str | None
    problem_code: str | None


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """`ckptptr log`: newest publish first."""

    command: str = "log"
    node: str
    latest: Latest
    checkpoints: list[Entry]


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """`ckptptr use`, `rollback`, `release`, `put`: `before` and `latest` are LATEST before and now.

    `verdict`, `checkpoint`, `why`: what the next attempt would restore now. `undo`: the arguments of
    the command that goes back; null where there is none. `undo_command`: the same, for a shell.
    `kept_as`: where the bytes are of a damaged LATEST that was replaced.
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


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """`ckptptr pin`, `unpin`: `pinned` is what it is now, `was_pinned` what it was before; `undo` and
    `undo_command` as in `Move`."""

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
    """What is wrong with one file of a checkpoint; with its manifest where `path` is null."""

    path: str | None
    object: str
    problem: str


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """One checkpoint that was verified. `state`: `unverified` is a plain folder, which has no digests."""

    checkpoint: Checkpoint
    state: Soundness
    problems: list[Flaw]


class Verify(msgspec.Struct, frozen=True, kw_only=True):
    """`ckptptr verify`: `deep` where every digest was compared, for which `bytes_read` were fetched."""

    command: str = "verify"
    node: str
    deep: bool
    bytes_read: int
    checkpoints: list[Verified]


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """What was passed over, and why."""

    reference: str
    reason: str


class Get(msgspec.Struct, frozen=True, kw_only=True):
    """`ckptptr get`: `destination` is an absolute path, `files` the paths below it, `verified` false for a
    plain folder. `rejected`: what was passed over because it was no good."""

    command: str = "get"
    node: str
    checkpoint: Checkpoint
    destination: str
    files: list[str]
    bytes: int
    verified: bool
    rejected: list[Refused]


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """`ckptptr export`: `destination` is the URL of the plain folder, `files` how many."""

    command: str = "export"
    node: str
    checkpoint: Checkpoint
    destination: str
    files: int
    bytes: int


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint that a sweep takes: `doomed` is what retention let go, an `orphan` was never published."""

    reference: str
    why: Literal["doomed", "orphan"]


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """`ckptptr sweep`: `checkpoints` is what goes, or with `dry_run` would go, `objects` and `bytes` their
    payload. `kept`: what would go but cannot, because a damaged manifest in its home might need it.
    `swept`: what is gone now, empty with `dry_run`."""

    command: str = "sweep"
    node: str
    dry_run: bool
    checkpoints: list[Leaving]
    objects: int
    bytes: int
    kept: list[str]
    swept: list[str]


class NodeFound(msgspec.Struct, frozen=True, kw_only=True):
    """One node of Flyte, as its LATEST tells.

    `url` is the node prefix, `name` the node's id. `step`, `bytes`, `published_at`: of what LATEST points
    to; null where a person edited it. `problem`: why LATEST cannot be read, else null.
    """

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


class Find(msgspec.Struct, frozen=True, kw_only=True):
    """`ckptptr find`: the newest publish first."""

    command: str = "find"
    root: str
    nodes: list[NodeFound]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that `ckptptr doctor` looked at.

    `level`: `ok`; `note`, worth knowing; `problem`, something to mend. `check`: a word that never
    changes its meaning; that of an error's `code` where a check could not be made. `what`: in
    sentences. `object`: which, usually a URL. `type`: what to type, a line for a shell.
    """

    level: Literal["ok", "note", "problem"]
    check: str
    what: str
    object: str | None = None
    type: str | None = None


class Doctor(msgspec.Struct, frozen=True, kw_only=True):
    """`ckptptr doctor`: the problems first, then the notes, then what is well.

    `node`: null where no TARGET was given, or it could not be looked at. `next`: what the next attempt
    would do, as in `ckptptr show`; null where that could not be found out.
    """

    command: str = "doctor"
    node: str | None
    next: Show | None
    findings: list[Finding]


class SimulatedRestore(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore returned: `checkpoint`, a reference, is null after a fresh start. `attempt` wrote it."""

    verdict: str
    checkpoint: str | None
    step: int | None
    attempt: int | None
    seq: int | None


class SimulatedSave(msgspec.Struct, frozen=True, kw_only=True):
    """A save that the task asked for. `checkpoint`, a reference, is null where it was never confirmed.

    `step`: as the task gave it, else counted.
    """

    step: int
    checkpoint: str | None


class SimulatedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt.

    `death`: how it was to die, as `--die` takes it, and whether that `came`; null where it was left
    alone. `ending`: `finished`, `died`, `recoverable`, `failed` or `timed_out`. `signal`: that killed
    it; null where none did. `reason`: the first line of its error.
    """

    attempt: int
    death: str | None
    came: bool
    ending: str
    signal: int | None
    exit_code: int | None
    reason: str
    restored: SimulatedRestore | None
    saves: list[SimulatedSave]
    seconds: float


class Simulate(msgspec.Struct, frozen=True, kw_only=True):
    """`ckptptr simulate`.

    `node`: the node prefix; `kept`: whether anything is still there. `repeated_steps`: that more than
    one attempt asked to save. `started_over`: attempts that did not restore although they could have.
    """

    command: str = "simulate"
    node: str
    kept: bool
    task: str
    finished: bool
    resumed: bool
    started_over: list[int]
    repeated_steps: list[int]
    outputs: dict[str, str | int | float | bool] | None
    attempts: list[SimulatedAttempt]


class Error(msgspec.Struct, frozen=True, kw_only=True):
    """`code` as in `ckptptr.errors`, `usage` for the command line, `interrupted`. `nodes`: what TARGET
    could have meant. `looked_at`: all places that were looked at and hold nothing."""

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


def encode(shape: msgspec.Struct) -> str:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(shape), indent=2).decode()
