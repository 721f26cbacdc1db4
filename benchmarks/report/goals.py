"""Each goal with its number: met or not.

Of the clients: how many times the CPU and the time of the best client of the same run; beside it the best one
that signs its payload as ours does over http, and the C reference, which no client can be better than.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from benchmarks.blocked import BACKGROUND
from benchmarks.report.blocked import shares
from benchmarks.report.cells import (
    OTHERS,
    OURS,
    REFERENCE,
    SIGNING,
    STOCK,
    Cell,
    Cells,
    Records,
    medians,
    middle,
    payload,
)
from benchmarks.run import LATER

_HEAD = (
    "| row | | | ours, s | best client, s | ratio | at most | | ratio to those that sign | C reference, s |\n"
    "|---|---|---|---:|---|---:|---:|---|---:|---:|\n"
)
_OTHER_HEAD = "\n\n| goal | measured | |\n|---|---:|---|\n"
_STOCK = 3.0
"""So many times as fast as stock, in each row."""


class Limits(NamedTuple):
    """Of the best client, or for a later save of the first one: CPU, time on loopback, time when slow."""

    cpu: float
    loopback: float
    slow: float


_LARGE, _SMALL, _LATER = Limits(1.1, 1.05, 1.0), Limits(1.2, 1.2, 1.2), Limits(1.05, 1.05, 1.05)


def table(results: dict[str, Any], cells: Cells) -> str:
    lines = [line for cell in cells if cell.server == "null" for line in _of_null(cell, cells)]
    others = [
        *_stock(cells),
        *_requests(cells),
        *_unchanged(cells),
        *_memory(results["records"]),
        *_blocked(results["blocked"]),
        *_growth(results["growth"]),
    ]
    return f"## Goals\n\n{_HEAD}" + "\n".join(lines) + _OTHER_HEAD + "\n".join(others)


def _of_null(cell: Cell, cells: Cells) -> Iterator[str]:
    records = cells[cell]
    if OURS not in records:
        return
    limits = _LATER if cell.operation == LATER else _SMALL if "small" in cell.row else _LARGE
    whats = [("seconds", "wall", limits.slow)]
    if cell.network == "loopback":
        whats = [("cpu", "CPU", limits.cpu), ("seconds", "wall", limits.loopback)]
    for what, title, limit in whats:
        found = medians(records, what)
        ours = found[OURS]
        if cell.operation == LATER:
            found = {"its first save": middle(cells[cell._replace(operation="save")][OURS], what)}
        names = [name for name in found if name in OTHERS or cell.operation == LATER]
        best = min(names, key=found.__getitem__, default="")
        if best:
            ratio = ours / found[best]
            alike = min((found[name] for name in SIGNING if name in found), default=0.0)
            signs = f"{ours / alike:.2f}" if alike and cell.operation == "save" else ""
            bound = f"{found[REFERENCE]:.2f}" if REFERENCE in found else ""
            yield (
                f"| {cell.row} | {cell.operation} | {title}, {cell.network} | {ours:.2f} "
                f"| {found[best]:.2f} {best} | {ratio:.2f} | {limit:.2f} | {_met(ratio <= limit)} "
                f"| {signs} | {bound} |"
            )


def _stock(cells: Cells) -> Iterator[str]:
    for cell, records in cells.items():
        if cell.server == "null" and {OURS, STOCK} <= {*records}:
            times = middle(records[STOCK]) / middle(records[OURS])
            what = f"{cell.row}, {cell.operation}, {cell.network}: at least {_STOCK:.0f} times stock"
            yield f"| {what} | {times:.1f} | {_met(times >= _STOCK)} |"


def _requests(cells: Cells) -> Iterator[str]:
    """Of saves: how many more than any client needs, which is what raw obstore sends."""
    least = "raw obstore"
    for cell, records in cells.items():
        if cell.server == "null" and cell.operation == "save" and {OURS, least} <= {*records}:
            ours, needed = (max(each["requests"] for each in records[name]) for name in (OURS, least))
            what = f"{cell.row}, {cell.network}: requests of a first save, beyond files or parts ({needed})"
            yield f"| {what} | {ours - needed} | |"


def _unchanged(cells: Cells) -> Iterator[str]:
    for cell, records in cells.items():
        if cell.network == "counted" and cell.row.startswith("95") and OURS in records:
            moved = records[OURS][0]["sent" if cell.operation == "save" else "received"]
            where = f"{cell.server}, {cell.row}, {cell.operation}"
            yield _at_most(f"{where}: % of the bytes moved, at most 6", 100 * moved / payload(records), 6)


def _memory(records: Records) -> Iterator[str]:
    if peaks := [record["peak"] / 2**20 for record in records if record["client"] == OURS]:
        yield _at_most("MiB of memory in any row, at most 256", max(peaks), 256)


def _blocked(blocked: dict[str, Any]) -> Iterator[str]:
    found = shares(blocked)
    for name in BACKGROUND:
        if name in found:
            yield _at_most(f"{name}: blocked for, % of the upload, at most 1", 100 * found[name], 1)


def _growth(growth: dict[str, Any]) -> Iterator[str]:
    if "attempts" in growth:
        counts = {len(each["requests"]) for each in growth["attempts"]}
        yield _at_most("different numbers of requests of a restore at 1, 10, 100 attempts", len(counts), 1)
    if copy := growth.get("forward_copy"):
        share = 100 * (copy["sent"] + copy["received"]) / copy["payload"]
        yield _at_most("% of the payload through this machine in a forward copy, at most 0.1", share, 0.1)
    if memory := growth.get("memory"):
        peak = max(memory["save"], memory["restore"]) / 2**20
        yield _at_most(f"MiB of memory for a file of {memory['bytes'] >> 30} GiB, at most 256", peak, 256)


def _at_most(text: str, found: float, wanted: float) -> str:
    return f"| {text} | {found:.3g} | {_met(found <= wanted)} |"


def _met(met: bool) -> str:
    return "met" if met else "**not met**"
