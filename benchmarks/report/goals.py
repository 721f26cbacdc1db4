"""Each goal with its number: met or not, by how much, and what could have been met on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.blocked import BACKGROUND
from benchmarks.report.blocked import shares
from benchmarks.report.cells import (
    OTHERS,
    OURS,
    STOCK,
    Cell,
    Cells,
    Records,
    medians,
    middle,
    payload,
    spread,
)

_HEAD = (
    "| goal | measured | | what this machine allows | cheapest | ours, s | stock, s |\n"
    "|---|---:|---|---:|---:|---:|---:|\n"
)
CONNECTIONS = 32
"""So many a restore has."""


def table(results: dict[str, Any], cells: Cells) -> str:
    lines = [
        *(
            line
            for cell, records in cells.items()
            if OURS in records
            for line in _times(results, cell, records)
        ),
        *_memory(results["records"]),
        *_blocked(results["blocked"]),
        *_growth(results["growth"]),
    ]
    return f"## Goals\n\n{_HEAD}" + "\n".join(lines)


def _times(results: dict[str, Any], cell: Cell, records: dict[str, Records]) -> Iterator[str]:
    seconds, where = medians(records), f"{cell.server}, {cell.row}, {cell.operation}"
    ours = records[OURS]
    if cell.network == "counted":
        if cell.row.startswith("95"):
            moved = ours[0]["sent" if cell.operation == "save" else "received"]
            yield _at_most(f"{where}: % of the bytes moved, at most 6", 100 * moved / payload(records), 6)
        return
    if STOCK in records:
        times, by = (8, ", slow link") if cell.network == "slow" else (3, "")
        bounds = [_ratio(seconds[STOCK], least) for least in _least(results, cell, records)]
        yield _at_least(
            f"{where}{by}: at least {times} times stock",
            seconds[STOCK] / seconds[OURS],
            times,
            *bounds,
            spread(ours),
            spread(records[STOCK]),
        )
    others = [seconds[name] for name in OTHERS if name in seconds]
    if cell.network == "loopback" and others:
        yield _at_least(
            f"{where}: at least 0.8 of the fastest client", min(others) / seconds[OURS], 0.8, "", "", "", ""
        )


def _least(results: dict[str, Any], cell: Cell, records: dict[str, Records]) -> tuple[float, float]:
    """Seconds that no client can do without; and that none can that is as cheap as the cheapest."""
    server, client = (min(middle(each, what) for each in records.values()) for what in ("server_cpu", "cpu"))
    link = payload(records) / (CONNECTIONS * results["link"]["rate"]) if cell.network == "slow" else 0.0
    cores = results["cores"]
    return max(server / cores, link), max((server + client) / cores, link)


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


def _at_least(text: str, found: float, wanted: float, *more: str) -> str:
    return f"| {text} | {found:.2f} | {_met(found >= wanted)} | {' | '.join(more)} |"


def _at_most(text: str, found: float, wanted: float) -> str:
    return f"| {text} | {found:.3g} | {_met(found <= wanted)} | | | | |"


def _met(met: bool) -> str:
    return "met" if met else "**not met**"


def _ratio(base: float, value: float) -> str:
    return f"{base / value:.1f}" if value else ""
