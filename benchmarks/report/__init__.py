"""From what was measured to `results.md` and plots beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.report import blocked, goals, growth, growth_plots, measured, plots
from benchmarks.report.cells import by_cell


def write(results: dict[str, Any], folder: Path) -> None:
    """The tables and a plot for each server and network, as far as there are records."""
    cells = by_cell(results["records"])
    plots.write(cells, folder)
    parts = [
        _head(results),
        goals.table(results, cells),
        *measured.tables(cells),
        measured.counted(cells),
        blocked.section(results["blocked"]),
        growth.section(results["growth"]),
    ]
    if results["blocked"]:
        blocked.plot(results["blocked"], folder)
    growth_plots.write(results["growth"], folder)
    (folder / "results.md").write_text("\n\n".join(part for part in parts if part) + "\n")


def _head(results: dict[str, Any]) -> str:
    link = results["link"]
    return (
        f"# Measured\n\n`{results['command']}` on {results['machine']}, load {results['load']:.1f}; the rows "
        f"are scaled by {results['size']}. Medians. The slow link lets each connection carry "
        f"{link['rate'] / 1e6:.0f} MB/s with {link['latency'] * 1000:.0f} ms of latency; the proxy itself "
        f"carries {link['carries']['at_that_rate_16'] / 1e6:.0f} MB/s over 16 connections at that rate and "
        f"{link['carries']['unthrottled'] / 1e6:.0f} MB/s where it does not throttle.\n\n"
        "*What this machine allows* is how many times stock a client would be that costs nothing: no client "
        "is faster than the least CPU time that the server spent on that row for any contestant, spread over "
        "all cores, and than 32 connections of the slow link; the client's own CPU time comes on top. "
        "*Cheapest* adds the least CPU time of any client: what a perfect one would reach that keeps all "
        "cores busy and is as cheap as the cheapest here."
    )
