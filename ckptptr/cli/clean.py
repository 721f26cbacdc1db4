"""`ckptptr clean`: delete the checkpoints of executions that are over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from ckptptr.cli.ages import before, older_than
from ckptptr.cli.command import answer, flyte_2_option, store_command
from ckptptr.cli.confirm import confirm
from ckptptr.cli.output import Cell, Column, Output
from ckptptr.clock import isoformat, written_at
from ckptptr.inspect import root_shapes
from ckptptr.inspect.base import Base
from ckptptr.inspect.over import Over, delete, look, rules_now
from ckptptr.transfer.pool import run_all
from ckptptr.transfer.progress import Counting
from ckptptr.wording import ago, counted, first_few, size

_AT_ONCE = 4
"""Executions that are deleted at the same time; the nodes of each are too."""

_LEAST = timedelta(days=1)


@store_command("clean", "Delete the checkpoints of executions that are over.", root_shapes.Clean)
@click.argument("root")
@older_than(
    "Executions of which nothing was written for so long, such as 30d or 6w; at least 1d.", required=True
)
@click.option("--keep-latest", is_flag=True, help="Keep the checkpoint that each LATEST names.")
@click.option("--dry-run", is_flag=True, help="Print what would be deleted, and delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@flyte_2_option
def command(
    *,
    root: str,
    older_than: timedelta,
    keep_latest: bool,
    dry_run: bool,
    yes: bool,
    flyte_2: bool,
    storage_options: dict[str, Any],
    as_json: bool,
) -> None:
    """Delete the checkpoints of executions of which nothing was written for so long: LATEST too.

    ROOT is the raw-output base, such as s3://bucket/data, or anything below its `_ckptptr`: a project, a
    domain, an execution. The times are those of the store. A run that waits has an old LATEST as well: give
    more time than any run may wait.

    Never deletes what is pinned, or what the LATEST of another node below the base names, or what ckptptr did
    not write: outputs of tasks, checkpoints of stock flytekit. Keeps executions that have a LATEST that is
    held, damaged, or of a newer format. What runs in other bases name, or CKPTPTR_SEED, is not seen: pin it.

    Asks first, unless --yes or --dry-run is given. It looks at each execution again before it deletes it. If
    it is interrupted, LATEST names nothing that is gone: run it again.

    The exit code is 3 if there is no node.
    """
    if older_than < _LEAST:
        raise click.UsageError("--older-than must be at least 1d: a run may be between two saves.")
    base = Base.at(root, storage_options, flyte_2=flyte_2)
    now = base.clock.now()
    end = before(now, older_than)
    with Counting("listing", None) as listing:
        found = look(base, end, keep_latest=keep_latest, tell=listing.add)

    def told(overs: Sequence[Over]) -> root_shapes.Clean:
        leaving = [_told(over) for over in overs if not over.why_not and not over.is_moving]
        return root_shapes.Clean(
            root=base.url,
            before=isoformat(now - older_than),
            dry_run=dry_run,
            keep_latest=keep_latest,
            executions=leaving,
            kept=[_told(over) for over in overs if over.why_not],
            moving=sum(over.is_moving and not over.why_not for over in overs),
            objects=sum(each.objects for each in leaving),
            bytes=sum(each.bytes for each in leaving),
        )

    planned = told(found)
    if dry_run or not planned.executions:
        answer(planned, lambda planned: _print(planned, now), as_json=as_json)
        return
    if not as_json and not yes:
        out = Output()
        _print_table(out, planned, now)
        out.blank()
    question = f"{_counted(planned)} below {planned.root} would be deleted for good."
    confirm(question, "Delete?", "the clean", yes=yes)
    rules = rules_now(base, end, keep_latest=keep_latest)
    leaving = [over for over in found if not over.why_not and not over.is_moving]
    writing = base.for_writing(leaving[0].nodes[0].prefix)
    with Counting("deleting", planned.objects) as deleting:
        done = run_all(lambda over: delete(writing, over, rules, deleting.add), leaving, workers=_AT_ONCE)
    others = [over for over in found if over.why_not or over.is_moving]
    answer(told([*done, *others]), lambda cleaned: _print(cleaned, now), as_json=as_json)


def _told(over: Over) -> root_shapes.Cleaned:
    nodes = [leaving for leaving in over.nodes if leaving.all.objects]
    return root_shapes.Cleaned(
        project=over.names.project,
        domain=over.names.domain,
        execution=over.names.execution,
        nodes=len(nodes),
        checkpoints=sum(leaving.checkpoints for leaving in nodes),
        objects=sum(leaving.all.objects for leaving in nodes),
        bytes=sum(leaving.all.bytes for leaving in nodes),
        written_at=written_at(over.newest),
        keeps=[reference for leaving in over.nodes for reference in leaving.keep],
        why_not=over.why_not or None,
    )


def _counted(told: root_shapes.Clean) -> str:
    executions = counted(len(told.executions), "execution")
    return f"{executions}, {size(told.bytes)} in {counted(told.objects, 'object')}"


_COLUMNS = (
    Column("written"),
    Column("size", right=True),
    Column("objects", right=True),
    Column("nodes", right=True, may_go=True),
    Column("checkpoints", right=True, may_go=True),
    Column("kept", right=True),
    Column("execution"),
    Column("project/domain", tail=True),
)


def _print_table(out: Output, told: root_shapes.Clean, now: datetime) -> None:
    out.blank()
    rows = [
        [
            ago(each.written_at, now),
            size(each.bytes),
            f"{each.objects:,}",
            str(each.nodes),
            str(each.checkpoints),
            Cell(str(len(each.keeps)), "yellow") if each.keeps else "-",
            each.execution,
            f"{each.project}/{each.domain}",
        ]
        for each in told.executions
    ]
    out.table(_COLUMNS, rows)


def _print(told: root_shapes.Clean, now: datetime) -> None:
    out = Output()
    if not told.executions:
        out.headline(f"There is nothing to clean below {told.root}.")
    elif told.dry_run:
        out.headline(f"Would be deleted: {_counted(told)}.")
        _print_table(out, told, now)
    else:
        out.headline(f"Deleted: {_counted(told)}.")
    if told.moving:
        out.sentence(f"{counted(told.moving, 'execution')} moved since {told.before}.", "dim")
    for kept in first_few(
        [f"{each.project}/{each.domain}/{each.execution}: {each.why_not}" for each in told.kept]
    ):
        out.sentence(f"Kept: {kept}.", "yellow")
