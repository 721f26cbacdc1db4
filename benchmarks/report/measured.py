"""All rows: a table for each server and network, and one of requests and bytes."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.clients import CLIENTS
from benchmarks.report.cells import OTHERS, STOCK, Cells, medians, middle, payload, spread

_HEAD = (
    "| row | | client | s | least to most | MiB/s | times stock | of the fastest | CPU s | least to most "
    "| server CPU s | peak MiB | requests |\n"
    "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
)


def tables(cells: Cells) -> list[str]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for cell, records in cells.items():
        if cell.network == "counted":
            continue
        seconds = medians(records)
        best = min((seconds[name] for name in OTHERS if name in seconds), default=0.0)
        for name in (each for each in CLIENTS if each in records):
            of_one = records[name]
            found[cell.server, cell.network].append(
                f"| {cell.row} | {cell.operation} | {name} | {seconds[name]:.2f} | {spread(of_one)} | "
                f"{payload(records) / seconds[name] / 2**20:.0f} | "
                f"{_ratio(seconds.get(STOCK), seconds[name])} | {_ratio(best, seconds[name])} | "
                f"{middle(of_one, 'cpu'):.2f} | {spread(of_one, 'cpu')} | "
                f"{middle(of_one, 'server_cpu'):.2f} | {max(record['peak'] for record in of_one) >> 20} | "
                f"{max(record.get('requests', 0) for record in of_one) or ''} |"
            )
    return [
        f"## {server}, {network}\n\n![{server}, {network}]({server}-{network}.png)\n\n{_HEAD}"
        + "\n".join(lines)
        for (server, network), lines in found.items()
    ]


def counted(cells: Cells) -> str:
    """Empty where nothing was counted."""
    lines = []
    for cell, records in cells.items():
        if cell.network != "counted":
            continue
        for name in (each for each in CLIENTS if each in records):
            record = records[name][0]
            share = 100 * record["sent" if cell.operation == "save" else "received"] / record["bytes"]
            where = f"{cell.server} | {cell.row} | {cell.operation}"
            lines.append(f"| {where} | {name} | {record['requests']} | {share:.1f} % |")
    head = (
        "| server | row | | client | requests | bytes moved, of the payload |\n|---|---|---|---|---:|---:|\n"
    )
    text = f"## Requests and bytes\n\nA run of its own, on rows of a quarter.\n\n{head}" + "\n".join(lines)
    return text if lines else ""


def _ratio(base: float | None, value: float) -> str:
    return f"{base / value:.2f}" if base else ""
