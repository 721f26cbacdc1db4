"""For how long a save blocks a training loop: the table and its plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.blocked import STOCK
from benchmarks.report.cells import Records, middle, spread
from benchmarks.report.drawing import COLOURS, figure, save

_HEAD = (
    "| {mib} MiB on s3 | blocked, s | least to most | sent, s | blocked / sent | blocked / stock's time |\n"
    "|---|---:|---:|---:|---:|---:|\n"
)


def table(blocked: dict[str, Any]) -> str:
    by_name = _by_name(blocked)
    lines = []
    for name, records in by_name.items():
        waited, took = middle(records, "blocked"), middle(records, "sent")
        lines.append(
            f"| {name} | {waited:.4f} | {spread(records, 'blocked', 4)} | {took:.2f} | {waited / took:.2%} | "
            f"{waited / middle(by_name[STOCK], 'sent'):.2%} |"
        )
    return _HEAD.format(mib=blocked["bytes"] >> 20) + "\n".join(lines)


def section(blocked: dict[str, Any]) -> str:
    """Empty where it was not measured."""
    if not blocked:
        return ""
    return (
        "## How long a training loop is blocked\n\n![blocked](blocked.png)\n\n`sent` is when the checkpoint "
        f"was confirmed. Stock's save blocks for all of its time.\n\n{table(blocked)}"
    )


def shares(blocked: dict[str, Any]) -> dict[str, float]:
    """Blocked of sent, by contestant."""
    return {
        name: middle(records, "blocked") / middle(records, "sent")
        for name, records in _by_name(blocked).items()
    }


def plot(blocked: dict[str, Any], folder: Path) -> None:
    by_name = dict(reversed(_by_name(blocked).items()))
    with figure(8, 3) as (drawn, axes):
        colours = [COLOURS["stock" if name == STOCK else "ckptptr (obstore)"] for name in by_name]
        bars = axes.barh(
            [*by_name], [1e3 * middle(each, "blocked") for each in by_name.values()], color=colours
        )
        axes.bar_label(bars, fmt="{:,.1f} ms", padding=3, fontsize=8)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.25)
        axes.set_xlabel("the training loop is blocked for, ms (median)")
        axes.set_title(f"A save of {blocked['bytes'] >> 20} MiB, s3, loopback")
        save(drawn, folder / "blocked.png")


def _by_name(blocked: dict[str, Any]) -> dict[str, Records]:
    found: dict[str, Records] = {}
    for record in blocked.get("records", ()):
        found.setdefault(record["client"], []).append(record)
    return found
