"""A plot for each server and network: the speed of each client, in each row."""

from __future__ import annotations

from pathlib import Path

from matplotlib.patches import Patch

from benchmarks.clients import CLIENTS
from benchmarks.report.cells import Cells, middle, payload
from benchmarks.report.drawing import COLOURS, figure, save

_OPERATIONS = ("save", "restore")


def write(cells: Cells, folder: Path) -> None:
    for server, network in dict.fromkeys((cell.server, cell.network) for cell in cells):
        if network != "counted":
            _draw({cell: cells[cell] for cell in cells if cell[:2] == (server, network)}, folder)


def _draw(cells: Cells, folder: Path) -> None:
    """Its rows side by side, each with a scale of its own: an unchanged file is fast beyond comparison."""
    rows = [*dict.fromkeys(cell.row for cell in cells)]
    names = [name for name in CLIENTS if any(name in records for records in cells.values())]
    (server, network), width = next(iter(cells))[:2], 0.8 / len(names)
    with figure(max(7, 3.2 * len(rows)), 3.8, len(rows)) as (drawn, axes):
        for place, row in zip(axes if len(rows) > 1 else [axes], rows, strict=True):
            for cell, records in cells.items():
                if cell.row != row:
                    continue
                for number, name in enumerate(names):
                    if name in records:
                        at = _OPERATIONS.index(cell.operation) + (number + 0.5) * width - 0.4
                        speed = payload(records) / middle(records[name]) / 2**20
                        place.bar(at, speed, width, color=COLOURS[name])
            place.set_xticks(range(len(_OPERATIONS)), _OPERATIONS)
            place.set_title(row, fontsize=10)
            place.set_ylabel("MiB/s (median)")
        handles = [Patch(color=COLOURS[name], label=name) for name in names]
        drawn.legend(handles=handles, loc="lower center", ncols=len(names), fontsize=8)
        drawn.suptitle(f"{server}, {network}")
        save(drawn, folder / f"{server}-{network}.png", bottom=0.08)
