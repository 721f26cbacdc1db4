"""`ckptptr sweep`: delete expired checkpoints and orphans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from functools import partial

import click
import msgspec

from ckptptr.cli.command import answer, node_command
from ckptptr.cli.confirm import confirm
from ckptptr.cli.output import INDENT, Output
from ckptptr.errors import InvalidArgumentError, NotFoundError
from ckptptr.inspect import shapes
from ckptptr.inspect.execution import Execution
from ckptptr.inspect.many import in_parallel
from ckptptr.inspect.sentences import short_reference
from ckptptr.inspect.target import Here
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.listed import Listed
from ckptptr.protocol.resolve import Resolver
from ckptptr.protocol.sweep import deletions, search, sweep_by_hand, sweepable
from ckptptr.wording import counted, size


def _on_execution(execution: Execution, *, as_json: bool, dry_run: bool, yes: bool) -> None:
    """All nodes: one question, and then a sweep of each."""
    refused: dict[str, str] = {}
    needed: set[str] = set()

    def look(prefix: str) -> tuple[str, shapes.Sweep] | None:
        try:
            here, seen = execution.glance(prefix)
            return prefix, _look(here, seen, needed, dry_run=dry_run)
        except (InvalidArgumentError, NotFoundError) as error:
            refused[execution.store.url(prefix)] = error.message
            return None

    looks = [look for look in in_parallel(look, execution.prefixes) if look]
    told = shapes.Sweep(
        node=execution.url,
        dry_run=dry_run,
        checkpoints=[
            msgspec.structs.replace(leaving, node=each.node)
            for _, each in looks
            for leaving in each.checkpoints
        ],
        objects=sum(each.objects for _, each in looks),
        bytes=sum(each.bytes for _, each in looks),
        kept=[reference for _, each in looks for reference in each.kept],
        swept=[],
        refused=dict(sorted(refused.items())),
    )
    if told.checkpoints and not dry_run:
        nodes = counted(sum(bool(each.checkpoints) for _, each in looks), "node")
        question = f"{_counted(told)} in {nodes} of {told.node} would be deleted for good."
        confirm(question, "Delete?", "the sweep", yes=yes)
        wanted = [look for look in looks if look[1].checkpoints]
        writing = execution.for_writing(wanted[0][0])
        swept = in_parallel(lambda look: _delete(writing.fresh(look[0]), look[1], needed), wanted)
        told = _done(told, [reference for each in swept for reference in each], needed)
    answer(told, partial(_print, needed=needed), as_json=as_json)


def _delete(here: Here, told: shapes.Sweep, needed: set[str]) -> tuple[str, ...]:
    """Delete what was agreed to, but not what the next attempt would restore by now: `needed` gets that."""
    agreed = {leaving.reference for leaving in told.checkpoints}
    needed |= (stays := agreed & _restored(here, here.latest.read()))
    return sweep_by_hand(here.store, here.node, here.latest, agreed - stays)


def _done(told: shapes.Sweep, swept: Iterable[str], needed: Iterable[str]) -> shapes.Sweep:
    kept = dict.fromkeys((*told.kept, *sorted(needed)))
    return msgspec.structs.replace(told, swept=[*swept], kept=[*kept])


@node_command("sweep", "Delete expired checkpoints and orphans.", shapes.Sweep, executions=True)
@click.option("--dry-run", is_flag=True, help="Print what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(*, here: Here | Execution, as_json: bool, dry_run: bool, yes: bool) -> None:
    """Delete expired checkpoints (released by retention) and orphans (uploaded, but never published).

    Never deletes what LATEST names, what is pinned, or what the next attempt would restore. From the last
    attempt that published, it deletes only what retention released. A run sweeps by itself: use this command
    where none runs any more.


    Asks first, unless --yes or --dry-run is given. Refuses while LATEST is held, absent or damaged. TARGET
    may be an execution: then all its other nodes.
    """
    if isinstance(here, Execution):
        _on_execution(here, as_json=as_json, dry_run=dry_run, yes=yes)
        return
    needed: set[str] = set()
    told = _look(here, here.latest.read(), needed, dry_run=dry_run)
    if told.checkpoints and not dry_run:
        question = f"{_counted(told)} of {told.node} would be deleted for good."
        confirm(question, "Delete?", "the sweep", yes=yes)
        told = _done(told, _delete(here.for_writing(), told, needed), needed)
    answer(told, partial(_print, needed=needed), as_json=as_json)


def _look(here: Here, seen: Seen, needed: set[str], *, dry_run: bool) -> shapes.Sweep:
    """What a sweep would delete. What the next attempt would restore stays, and is added to `needed`."""
    expired = sweepable(seen, here.latest.url).expired
    wanted = dict.fromkeys((*expired, *search(here.store, here.node, seen).orphans))
    stays = wanted.keys() & _restored(here, seen) if wanted else set[str]()
    needed |= stays
    leaving = [*deletions(here.store, here.node, (ref for ref in wanted if ref not in stays))]
    may_go = {reference for home in leaving for reference in home.references}
    goes = {reference for home in leaving for reference in home.leaving}
    return shapes.Sweep(
        node=here.url,
        dry_run=dry_run,
        checkpoints=[
            shapes.Leaving(reference=reference, why="doomed" if reference in expired else "orphan")
            for reference in wanted
            if reference in goes
        ],
        objects=sum(len(home.objects) for home in leaving),
        bytes=sum(home.bytes for home in leaving),
        kept=[reference for reference in wanted if reference not in may_go],
        swept=[],
    )


def _restored(here: Here, seen: Seen) -> set[str]:
    """The reference of what the next attempt would restore, if there is anything."""
    found = Resolver(here.candidates, here.latest).resolve(Listed(here.store), seen).found
    return {found.reference} if found else set()


def _counted(told: shapes.Sweep) -> str:
    payload = f"{size(told.bytes)} in {counted(told.objects, 'object')}"
    return f"{counted(len(told.checkpoints), 'checkpoint')}, {payload}"


def _print(told: shapes.Sweep, needed: Collection[str]) -> None:
    out = Output()
    several = Counter(leaving.node for leaving in told.checkpoints if leaving.node)
    if told.dry_run and told.checkpoints:
        out.headline(f"Would be deleted: {_counted(told)}.")
    elif told.checkpoints:
        out.headline(f"Deleted: {_counted(told)}.")
    else:
        out.headline("There is nothing to sweep.")
    for leaving in told.checkpoints if not several else ():
        why = "expired" if leaving.why == "doomed" else "orphan "
        out.line(INDENT, why, INDENT, short_reference(leaving.reference))
    for node, count in several.most_common():
        out.line(INDENT, counted(count, "checkpoint"), " of ", node or "")
    for node, why_not in told.refused.items():
        out.sentence(f"Nothing is deleted in {node}: {why_not}.", "yellow")
    if needed:
        those = counted(len(needed), "checkpoint stays", "checkpoints stay")
        out.sentence(
            f"{those}, since the next attempt would restore {'it' if len(needed) == 1 else 'them'}:"
            " `ckptptr doctor` says what to type.",
            "yellow",
        )
    others = [reference for reference in told.kept if reference not in needed]
    if others:
        out.sentence(
            f"{counted(len(others), 'other')} stayed, since a damaged manifest in the same home might need"
            " them: `ckptptr verify --all` tells which.",
            "yellow",
        )
    left = {leaving.reference for leaving in told.checkpoints} - {*told.swept, *needed}
    if left and not told.dry_run:
        out.sentence(f"{len(left)} of them stayed: LATEST moved meanwhile.", "yellow")
