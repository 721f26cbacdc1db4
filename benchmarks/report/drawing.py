"""How plots look: a client has the same colour in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {
    "stock": "#999999",
    "ckptptr (fsspec)": "#56b4e9",
    "ckptptr (obstore)": "#0072b2",
    "ckptptr (obstore), as on Amazon": "#003f66",
    "raw obstore": "#d55e00",
    "raw obstore, unsigned": "#e69f00",
    "s5cmd": "#009e73",
    "awscrt": "#cc79a7",
    "s3torchconnector": "#f0e442",
    "C reference": "#000000",
}
"""By contestant; told apart by people who see no red or no green too."""


@contextmanager
def figure(width: float, height: float, columns: int = 1) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes, so many inches wide and high; a list of axes where there are several columns."""
    drawn, axes = plt.subplots(1, columns, figsize=(width, height))
    try:
        yield drawn, axes
    finally:
        plt.close(drawn)


def save(drawn: Any, path: Path, bottom: float = 0.0) -> None:
    """Args:
    bottom: the share of the height that is kept free there, for a legend.
    """
    drawn.tight_layout(rect=(0, bottom, 1, 1))
    drawn.savefig(path, dpi=110)


def grow(axes: Any, title: str, across: str, up: str) -> None:
    """Log-log, with its grid and plain numbers."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, high / 20), high * 1.5)  # what hardly grows shall not look as if it did
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_title(title, fontsize=10)
