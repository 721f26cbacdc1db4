"""Plots for each server and network: the speed of each client, and on the null server its CPU time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.patches import Patch

from benchmarks.clients import CLIENTS
from benchmarks.report.cells import Cells, Records, middle
from benchmarks.report.drawing import COLOURS, figure, save


def write(cells: Cells, folder: Path) -> None:
    for server, network in dict.fromkeys((cell.server, cell.network) for cell in cells):
        drawn = {cell: cells[cell] for cell in cells if cell[:2] == (server, network)}
        title = f"{server}, {network}"
        if network != "counted":
            _draw(drawn, title, "MiB/s (median)", _speed, folder / f"{server}-{network}.png")
        if (server, network) == ("null", "loopback"):
            _draw(drawn, title, "CPU ms for each MiB (median)", _cpu, folder / "null-cpu.png")


def _speed(records: Records) -> float:
    return float(records[0]["bytes"] / middle(records) / 2**20)


def _cpu(records: Records) -> float:
    return float(1000 * middle(records, "cpu") / records[0]["bytes"] * 2**20)


def _draw(cells: Cells, title: str, up: str, height: Callable[[Records], float], path: Path) -> None:
    """Its rows side by side, each with a scale of its own: an unchanged file is fast beyond comparison."""
    rows = [*dict.fromkeys(cell.row for cell in cells)]
    operations = [*dict.fromkeys(cell.operation for cell in cells)]
    names = [name for name in CLIENTS if any(name in records for records in cells.values())]
    width = 0.8 / len(names)
    with figure(max(7, 4 * len(rows)), 4, len(rows)) as (drawn, axes):
        for place, row in zip(axes if len(rows) > 1 else [axes], rows, strict=True):
            for cell, records in cells.items():
                for number, name in enumerate(names):
                    if cell.row == row and name in records:
                        at = operations.index(cell.operation) + (number + 0.5) * width - 0.4
                        place.bar(at, height(records[name]), width, color=COLOURS[name])
            place.set_xticks(range(len(operations)), operations)
            place.set_title(row, fontsize=10)
            place.set_ylabel(up)
        handles = [Patch(color=COLOURS[name], label=name) for name in names]
        drawn.legend(handles=handles, loc="lower center", ncols=min(len(names), 5), fontsize=8)
        drawn.suptitle(title)
        save(drawn, path, bottom=0.12)
