"""`ckptptr sweep`: delete expired checkpoints and orphans."""

from __future__ import annotations

from collections import Counter

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
from ckptptr.protocol.sweep import deletions, search, sweep_by_hand, sweepable
from ckptptr.wording import counted, size


def _on_execution(execution: Execution, *, as_json: bool, dry_run: bool, yes: bool) -> None:
    """All nodes: one question, and then a sweep of each."""
    refused: dict[str, str] = {}

    def look(prefix: str) -> tuple[str, shapes.Sweep] | None:
        try:
            here, seen = execution.glance(prefix)
            return prefix, _look(here, seen, dry_run=dry_run)
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
        swept = in_parallel(lambda look: _delete(writing.fresh(look[0]), look[1]), wanted)
        told = msgspec.structs.replace(told, swept=[reference for each in swept for reference in each])
    answer(told, _print, as_json=as_json)


def _delete(here: Here, told: shapes.Sweep) -> tuple[str, ...]:
    agreed = frozenset(leaving.reference for leaving in told.checkpoints)
    return sweep_by_hand(here.store, here.node, here.latest, agreed)


@node_command("sweep", "Delete expired checkpoints and orphans.", shapes.Sweep, executions=True)
@click.option("--dry-run", is_flag=True, help="Print what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(*, here: Here | Execution, as_json: bool, dry_run: bool, yes: bool) -> None:
    """Delete expired checkpoints (released by retention) and orphans (uploaded, but never published).

    Never deletes what LATEST names or what is pinned. From the last attempt that published, it deletes
    only what retention released. A run sweeps by itself: use this command where none runs any more.


    Asks first, unless --yes or --dry-run is given. Refuses while LATEST is held, absent or damaged. TARGET
    may be an execution: then all its other nodes.
    """
    if isinstance(here, Execution):
        _on_execution(here, as_json=as_json, dry_run=dry_run, yes=yes)
        return
    told = _look(here, here.latest.read(), dry_run=dry_run)
    if told.checkpoints and not dry_run:
        question = f"{_counted(told)} of {told.node} would be deleted for good."
        confirm(question, "Delete?", "the sweep", yes=yes)
        told = msgspec.structs.replace(told, swept=[*_delete(here.for_writing(), told)])
    answer(told, _print, as_json=as_json)


def _look(here: Here, seen: Seen, *, dry_run: bool) -> shapes.Sweep:
    expired = sweepable(seen, here.latest.url).expired
    wanted = dict.fromkeys((*expired, *search(here.store, here.node, seen).orphans))
    leaving = [*deletions(here.store, here.node, wanted)]
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


def _counted(told: shapes.Sweep) -> str:
    payload = f"{size(told.bytes)} in {counted(told.objects, 'object')}"
    return f"{counted(len(told.checkpoints), 'checkpoint')}, {payload}"


def _print(told: shapes.Sweep) -> None:
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
    if told.kept:
        out.sentence(
            f"{counted(len(told.kept), 'other')} stayed, since a damaged manifest in the same home might need"
            " them: `ckptptr verify --all` tells which.",
            "yellow",
        )
    left = [leaving for leaving in told.checkpoints if leaving.reference not in told.swept]
    if left and not told.dry_run:
        out.sentence(f"{len(left)} of them stayed: LATEST moved meanwhile.", "yellow")
