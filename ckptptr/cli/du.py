"""`ckptptr du`: what checkpoints take, and how much of it a sweep would free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Literal, TypeAlias

import click
import msgspec

from ckptptr.cli.command import answer, flyte_2_option, store_command
from ckptptr.cli.output import Cell, Column, Output
from ckptptr.clock import written_at
from ckptptr.inspect import root_shapes
from ckptptr.inspect.base import Base
from ckptptr.inspect.execution import rows_of
from ckptptr.inspect.survey import FoundHome
from ckptptr.inspect.usage import Usage, usage_of
from ckptptr.transfer.progress import Counting
from ckptptr.wording import ago, counted, size

_By: TypeAlias = Literal["project", "domain", "execution", "node"]
_LEVELS = ("project", "domain", "execution", "node")


@store_command("du", "What checkpoints take, and what a sweep would free.", root_shapes.Usage)
@click.argument("root")
@click.option(
    "--by", type=click.Choice(_LEVELS), default="project", show_default=True, help="One row for each."
)
@flyte_2_option
def command(*, root: str, by: _By, flyte_2: bool, storage_options: dict[str, Any], as_json: bool) -> None:
    """Bytes and objects of all checkpoints below ROOT, how much has expired, and how much is orphaned.

    ROOT is the raw-output base, such as s3://bucket/data, or anything below its `_ckptptr`: a project, a
    domain, an execution. All that is below a base is listed; LATEST of each node is read, and of homes with
    something to free the manifests. No payload is fetched. With --flyte-2, ROOT is the base of a run of Flyte
    2, or a path above it.

    Expired: retention has released it. Orphaned: uploaded by a save that was killed. `ckptptr sweep` deletes
    both; `ckptptr clean` deletes the checkpoints of executions that are over.


    The exit code is 3 if there is no node.
    """
    base = Base.at(root, storage_options, flyte_2=flyte_2)
    with Counting("listing", None) as listing:
        used, unowned = usage_of(base, listing.add)
    told = root_shapes.Usage(
        root=base.url,
        by=by,
        total=_told((), used.values()),
        rows=_rows(used, _LEVELS.index(by) + 1),
        unowned=_unowned(unowned),
    )
    answer(told, lambda told: _print(told, base.clock.now()), as_json=as_json)


def _rows(used: dict[str, Usage], depth: int) -> list[root_shapes.Used]:
    """The largest first."""

    def names(prefix: str) -> list[str]:
        return prefix.split("/")[-4:][:depth]

    groups = groupby(sorted(used, key=names), key=names)
    rows = [_told(name, [used[prefix] for prefix in prefixes]) for name, prefixes in groups]
    return sorted(rows, key=lambda row: -row.bytes)


def _told(names: Sequence[str], used: Iterable[Usage]) -> root_shapes.Used:
    total = Usage()
    for each in used:
        total += each
    known = dict(zip(("project", "domain", "execution", "name"), names, strict=False))
    return root_shapes.Used(
        project=known.get("project"),
        domain=known.get("domain"),
        execution=known.get("execution"),
        name=known.get("name"),
        nodes=total.nodes,
        checkpoints=total.checkpoints,
        objects=total.all.objects,
        bytes=total.all.bytes,
        expired_objects=total.expired.objects,
        expired_bytes=total.expired.bytes,
        orphaned_objects=total.orphaned.objects,
        orphaned_bytes=total.orphaned.bytes,
        written_at=written_at(total.all.newest),
    )


def _unowned(homes: Sequence[FoundHome]) -> root_shapes.Unowned:
    return root_shapes.Unowned(
        homes=len(homes),
        objects=sum(home.all.objects for home in homes),
        bytes=sum(home.all.bytes for home in homes),
        written_at=written_at(max((home.all.newest for home in homes), default=0.0)),
    )


_COLUMNS = (
    Column("size", right=True),
    Column("objects", right=True),
    Column("expired", right=True),
    Column("orphaned", right=True),
    Column("nodes", right=True, may_go=True),
    Column("checkpoints", right=True, may_go=True),
    Column("written", may_go=True),
    Column("execution"),
    Column("node"),
    Column("project/domain", tail=True),
)


def _print(told: root_shapes.Usage, now: datetime) -> None:
    out = Output()
    total = told.total
    nodes = counted(total.nodes, "node")
    out.headline(f"{_amount(total.bytes, total.objects)}: the checkpoints of {nodes} below {told.root}")
    if total.expired_bytes or total.orphaned_bytes:
        expired, orphaned = size(total.expired_bytes), size(total.orphaned_bytes)
        out.sentence(f"A sweep would free {expired} that has expired, and {orphaned} that is orphaned.")
    out.blank()
    rows = _map_tasks(told.rows) if told.by == "node" else [(row.name, row) for row in told.rows]
    out.table(_COLUMNS, [_row(name or "", row, now) for name, row in rows])
    if told.unowned.homes:
        out.blank()
        amount = _amount(told.unowned.bytes, told.unowned.objects)
        out.sentence(
            f"Not counted: {amount} in {counted(told.unowned.homes, 'home')} without a LATEST. A task has not"
            " saved yet, or uses stock flytekit, or LATEST was deleted. The newest object was written"
            f" {ago(told.unowned.written_at, now)}.",
            "dim",
        )


def _amount(bytes_: int, objects: int) -> str:
    return f"{size(bytes_)} in {objects:,} object{'' if objects == 1 else 's'}"


def _map_tasks(rows: Sequence[root_shapes.Used]) -> list[tuple[str, root_shapes.Used]]:
    """The indices of a map task as one row, the largest first."""
    by_place = {f"{row.project}/{row.domain}/{row.execution}/{row.name}": row for row in rows}
    merged = []
    for family in rows_of(by_place):
        first, *others = (by_place[place] for place in family.prefixes)
        for other in others:
            sums = {name: getattr(first, name) + getattr(other, name) for name in _SUMMED}
            newest = max((first.written_at or "", other.written_at or "")) or None
            first = msgspec.structs.replace(first, **sums, written_at=newest)
        merged.append((family.name, first))
    return sorted(merged, key=lambda pair: -pair[1].bytes)


_SUMMED = (
    *("nodes", "checkpoints", "objects", "bytes"),
    *("expired_objects", "expired_bytes", "orphaned_objects", "orphaned_bytes"),
)


def _row(name: str, row: root_shapes.Used, now: datetime) -> list[str]:
    return [
        size(row.bytes),
        f"{row.objects:,}",
        Cell(size(row.expired_bytes), "yellow" if row.expired_bytes else "dim"),
        Cell(size(row.orphaned_bytes), "yellow" if row.orphaned_bytes else "dim"),
        str(row.nodes),
        str(row.checkpoints),
        ago(row.written_at, now),
        row.execution or "",
        name,
        "/".join(filter(None, (row.project, row.domain))),
    ]
