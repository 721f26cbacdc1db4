"""What a page shows, as one value: the checkpoints of a node, its attempts, and what each resumed from.

All of it comes from the store: LATEST, the manifests, and listings. How long a save took is in no
manifest: only the process that made it knows (`Live`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import msgspec

from ckptptr.clock import isoformat
from ckptptr.errors import InvalidArgumentError, UnsupportedFormatError
from ckptptr.inspect import shapes
from ckptptr.inspect.execution import FEW, Execution, Row
from ckptptr.inspect.explain import explain
from ckptptr.inspect.log import everything
from ckptptr.inspect.many import in_parallel
from ckptptr.inspect.sentences import headline
from ckptptr.inspect.target import Here
from ckptptr.protocol.inventory import payload_without, read_manifest
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.names import CheckpointId, split_manifest_key
from ckptptr.protocol.resolve import Resolution
from ckptptr.report.attempts import (
    AttemptSummary,
    Shown,
    View,
    next_attempt,
    past_attempts,
    this_attempt,
)
from ckptptr.report.cached_store import CachedStore, ShortLatest
from ckptptr.transfer.pool import run_all
from ckptptr.wording import counted


@dataclass(frozen=True, slots=True)
class Live:
    """What only the process of an attempt knows.

    Args:
        resolution: of its restore; None if it did not restore.
        restored_in: how long the restore took, in seconds.
        saves: how many there were.
        saved_in: how long each of the last saves took, in seconds, by checkpoint id.
    """

    resolution: Resolution | None
    restored_in: float | None = None
    saves: int = 0
    saved_in: Mapping[str, float] = field(default_factory=dict)


class Uncommitted(msgspec.Struct, frozen=True, kw_only=True):
    """Payload without a manifest: of a save that was killed or runs now, or of a sweep that was killed."""

    id: str
    attempt: int
    bytes: int
    files: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`show`: as `ckptptr show --json`. `checkpoints`: as in `ckptptr log --json` and more, the newest first;
    `left_out` counts older ones that are not in it. `seen_by`: the attempt that drew the report, null for
    a person. `attempts`: the last is the next one; `words` say what it resumed from, `reasons` why.
    """

    command: str = "report"
    node: str
    written_at: str
    seen_by: int | None
    headline: str
    show: shapes.Show
    checkpoints: list[Shown]
    attempts: list[AttemptSummary]
    unfinished: list[Uncommitted]
    left_out: int

    @property
    def name(self) -> str:
        """The last part of the node prefix."""
        return self.node.rpartition("/")[2]


class ReportRow(msgspec.Struct, frozen=True, kw_only=True):
    """A node of an execution, or all indices of a map task: `nodes` of them. `held`, `damaged`: how many have
    such a LATEST. `steps`: the lowest and the highest that LATEST names. `reported`: the node prefixes of
    those that are in `reports`."""

    name: str
    nodes: int
    held: int
    damaged: int
    steps: list[int]
    reported: list[str]


class ExecutionReport(msgspec.Struct, frozen=True, kw_only=True):
    """An execution. `rows`: its nodes, the worst first. `reports`: of each node; of a large map task only
    those of the first nodes whose LATEST is held or damaged."""

    command: str = "report"
    execution: str
    written_at: str
    rows: list[ReportRow]
    reports: list[Report]


def gather_execution(execution: Execution) -> ExecutionReport:
    """Look at all nodes of an execution, in parallel.

    Raises: as `gather`.
    """
    seen = dict(zip(execution.prefixes, in_parallel(execution.seen, execution.prefixes), strict=True))

    def is_odd(prefix: str) -> bool:
        return seen[prefix].is_held or seen[prefix].pointer is None

    chosen = {
        row: [*row.prefixes] if len(row.prefixes) <= FEW else [*filter(is_odd, row.prefixes)][:FEW]
        for row in execution.rows
    }
    prefixes = [prefix for few in chosen.values() for prefix in few]
    reports = dict(zip(prefixes, in_parallel(partial(_gathered, execution), prefixes), strict=True))

    def badness(row: Row) -> tuple[int, int]:
        found = [report for prefix in chosen[row] if (report := reports[prefix])]
        return sum(map(_is_passed_over, found)), sum(map(is_odd, row.prefixes))

    rows = sorted(execution.rows, key=badness, reverse=True)  # stable
    ordered = [report for row in rows for prefix in chosen[row] if (report := reports[prefix])]
    return ExecutionReport(
        execution=execution.url,
        written_at=isoformat(execution.clock.now()),
        rows=[_row(row, seen, [r.node for p in chosen[row] if (r := reports[p])]) for row in rows],
        reports=ordered,
    )


def _gathered(execution: Execution, prefix: str) -> Report | None:
    """None for a node of a newer format: its row counts it as damaged."""
    try:
        return gather(execution.here(prefix))
    except UnsupportedFormatError:
        return None


def _is_passed_over(report: Report) -> bool:
    """Whether the next attempt does not restore what LATEST asks for."""
    show = report.show
    return any(c.outcome == "rejected" and c.source == "latest" for c in show.candidates)


def _row(row: Row, seen: Mapping[str, Seen], reported: list[str]) -> ReportRow:
    there = [seen[prefix] for prefix in row.prefixes]
    targets = (each.pointer.target.step for each in there if each.pointer)
    steps = sorted(step for step in targets if step is not None)
    return ReportRow(
        name=row.name,
        nodes=len(there),
        held=sum(each.is_held for each in there),
        damaged=sum(bool(each.damage) for each in there),
        steps=[steps[0], steps[-1]] if steps else [],
        reported=reported,
    )


def gather(here: Here, *, live: Live | None = None, most: int | None = None) -> Report:
    """Look at the store, at everything once.

    Args:
        live: the attempt that draws the report; payload without a manifest is then not searched for.
        most: the number of manifests to read in the homes, the newest; None for all.

    Raises: as `ckptptr show` and `ckptptr log`.
    """
    cached = CachedStore(here.store)
    if most is not None:
        cached.keep_newest(here.node.own_homes(here.store), most)
    here = replace(here, store=cached, latest=ShortLatest(cached, here.node, here.clock))
    log, show = everything(here), explain(here)
    checkpoints = [_shown(here, entry, live) for entry in log.checkpoints]
    hidden = cached.hidden - {_key(here, item) for item in checkpoints}
    view = View(not hidden, here.node.owns)
    number, said = here.node.attempt, headline(show.checkpoint)
    attempts = past_attempts(checkpoints, number, view)
    if live:
        this = this_attempt(checkpoints, number, live.resolution, live.restored_in, view)
        attempts.append(this)
        saves = f", and saved {counted(live.saves, 'checkpoint')}" if live.saves else ""
        said = f"Attempt {number} {this.words}{saves}."
    attempts.append(next_attempt(show, number + 1 if live else number))
    return Report(
        node=here.url,
        written_at=isoformat(here.clock.now()),
        seen_by=number if live else None,
        headline=said,
        show=show,
        checkpoints=checkpoints,
        attempts=attempts,
        unfinished=[] if live else _unfinished(here, {entry.id for entry in log.checkpoints}),
        left_out=len(hidden),
    )


def _shown(here: Here, entry: shapes.Entry, live: Live | None) -> Shown:
    """A line of the log, with more from its manifest."""
    key = _key(here, entry)
    split = split_manifest_key(key)
    attempt = here.node.attempt_of(split[0], likely=split[1].attempt) if split else here.node.attempt_of(key)
    plain = Shown(
        **msgspec.structs.asdict(entry),
        is_elsewhere=attempt is None,
    )
    if split is None:
        return msgspec.structs.replace(plain, attempt=attempt)
    if entry.problem:
        return plain
    manifest = read_manifest(here.store, *split)
    return msgspec.structs.replace(
        plain,
        created_at=manifest.created_at,
        copied_from=manifest.copied_from,
        task=manifest.lineage.task,
        saved_in=live.saved_in.get(manifest.id) if live else None,
    )


def _key(here: Here, entry: shapes.Entry) -> str:
    """Its key; empty for a reference in LATEST that makes no sense."""
    try:
        return here.node.root.key(entry.checkpoint)
    except InvalidArgumentError:
        return ""


def _unfinished(here: Here, known: set[str | None]) -> list[Uncommitted]:
    ids = {id for name in known if name and (id := CheckpointId.match(name))}
    found = [
        Uncommitted(
            id=str(checkpoint),
            attempt=checkpoint.attempt,
            bytes=sum(entry.size for entry in entries),
            files=len(entries),
        )
        for stock in run_all(
            lambda home: payload_without(here.store, home, ids), here.node.own_homes(here.store)
        )
        for checkpoint, entries in stock.items()
    ]
    return sorted(found, key=lambda item: CheckpointId.parse(item.id).age, reverse=True)
