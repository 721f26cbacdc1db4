"""From what was measured to `results.md` and plots beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.places import LATENCY, RATE
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
    commits = dict.fromkeys(record["commit"] for record in results["records"])
    loads = sorted(record["load"] for record in results["records"]) or [0.0]
    missing = "".join(f"\n\n**Not measured**: {name}: {why}" for name, why in results["missing"].items())
    return (
        f"# Measured\n\nOn {results['machine']}; commit {', '.join(commits)}; load when a row began "
        f"{loads[0]:.1f} to {loads[-1]:.1f}. Medians. The slow network: {LATENCY * 1000:.0f} ms for each "
        f"request, {RATE / 1e6:.0f} MB/s for each connection.{missing}"
    )
