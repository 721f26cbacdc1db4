"""The records of a run in their places: a cell is one row on one server by one network, saved or restored,
with the records of each contestant."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import Any, NamedTuple

from benchmarks.clients import CLIENTS, ENGINES

STOCK, OURS, REFERENCE = "stock", "ckptptr (obstore)", "C reference"
OTHERS = [name for name in CLIENTS if name not in ENGINES and name not in (STOCK, REFERENCE)]
SIGNING = ("raw obstore", "s5cmd")
"""Those of them whose signature includes the payload, as ours over http."""

Records = list[dict[str, Any]]


class Cell(NamedTuple):
    server: str
    network: str
    row: str
    operation: str


Cells = dict[Cell, dict[str, Records]]


def by_cell(records: Records) -> Cells:
    cells: Cells = defaultdict(dict)
    for record in records:
        cell = Cell(record["server"], record["network"], record["row"], record["operation"])
        cells[cell].setdefault(record["client"], []).append(record)
    return cells


def middle(records: Records, what: str = "seconds") -> float:
    return float(median(record[what] for record in records))


def spread(records: Records, what: str = "seconds", digits: int = 2) -> str:
    """The least and the most."""
    found = [record[what] for record in records]
    return f"{min(found):.{digits}f} to {max(found):.{digits}f}"


def payload(records: dict[str, Records]) -> int:
    """Bytes of the row."""
    return int(next(iter(records.values()))[0]["bytes"])


def medians(records: dict[str, Records], what: str = "seconds") -> dict[str, float]:
    return {name: middle(each, what) for name, each in records.items()}
