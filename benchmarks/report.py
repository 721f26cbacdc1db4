"""From what was measured to a table (Markdown) and plots."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.clients import CLIENTS, ENGINES

STOCK, OURS = "stock", "ckptptr (obstore)"
_OTHERS = [name for name in CLIENTS if name not in ENGINES and name != STOCK]

Key = tuple[str, str, str, str]
Table = dict[Key, dict[str, list[dict[str, Any]]]]


def main() -> None:
    """`python -m benchmarks.report FOLDER` writes the tables anew from the `results.json` in it."""
    folder = Path(sys.argv[1])
    write(json.loads((folder / "results.json").read_text()), folder)


def write(results: dict[str, Any], folder: Path) -> None:
    """`results.md` and a plot for each server and network."""
    table: Table = defaultdict(lambda: defaultdict(list))
    for record in results["records"]:
        key = (record["server"], record["network"], record["row"], record["operation"])
        table[key][record["client"]].append(record)
    parts = [
        _head(results),
        goals(results, table),
        *_measured(table),
        *_counted(table),
        _growth(results["growth"]),
    ]
    (folder / "results.md").write_text("\n\n".join(part for part in parts if part) + "\n")
    _plot(table, folder)


def goals(results: dict[str, Any], table: Table) -> str:
    """Each goal with a number: met or not, and by how much.

    For the times it is also said what this machine allows: no client can be faster than the server's
    CPU time, spread over all cores, and than 16 connections of the slow link.
    """
    lines: list[str] = []
    for (server, network, row, operation), by_client in table.items():
        if OURS not in by_client:
            continue
        seconds = {name: median(r["seconds"] for r in records) for name, records in by_client.items()}
        where, ours, records = f"{server}, {row}, {operation}", seconds[OURS], by_client[OURS]
        least = median(r["server_cpu"] for r in records) / results["cores"]
        others = [seconds[name] for name in _OTHERS if name in seconds]
        if network == "loopback" and STOCK in seconds:
            lines.append(_goal(f"{where}: at least 3 times stock", seconds[STOCK] / ours, 3))
            lines[-1] += f" {seconds[STOCK] / least:.1f} |" if least else " |"
        if network == "loopback" and others:
            lines.append(
                _goal(f"{where}: at least 0.8 of the fastest client", min(others) / ours, 0.8) + " |"
            )
        if network == "slow" and STOCK in seconds:
            least = max(least, records[0]["bytes"] / (16 * results["link"]["rate"]))
            lines.append(_goal(f"{where}, slow link: at least 8 times stock", seconds[STOCK] / ours, 8))
            lines[-1] += f" {seconds[STOCK] / least:.1f} |"
        if network == "counted" and row.startswith("95"):
            share = 100 * records[0]["sent" if operation == "save" else "received"] / records[0]["bytes"]
            lines.append(_at_most(f"{where}: at most 6 % of the bytes", share, 6))
    peaks = [r["peak"] / 2**20 for r in results["records"] if r["client"] == OURS]
    lines.append(_at_most("MiB of memory in any row, at most 256", max(peaks, default=0), 256))
    if growth := results["growth"]:
        counts = {len(each["requests"]) for each in growth["attempts"]}
        lines.append(_at_most("different numbers of requests at 1, 10, 100 attempts", len(counts), 1))
        copy, memory = growth["forward_copy"], growth["memory"]
        share = (copy["sent"] + copy["received"]) / copy["payload"]
        lines.append(_at_most("bytes through this machine in a forward copy, of the payload", share, 0.001))
        peak = max(memory["save"], memory["restore"]) / 2**20
        lines.append(_at_most("MiB of memory for a file of 4 GiB, at most 256", peak, 256))
    head = "| goal | measured | | what this machine allows |\n|---|---:|---|---:|\n"
    return f"## Goals\n\n{head}" + "\n".join(lines)


def _goal(text: str, found: float, wanted: float) -> str:
    return f"| {text} | {found:.2f} | {_met(found >= wanted)} |"


def _at_most(text: str, found: float, wanted: float) -> str:
    return f"| {text} | {found:.3g} | {_met(found <= wanted)} | |"


def _met(met: bool) -> str:
    return "met" if met else "**not met**"


def _head(results: dict[str, Any]) -> str:
    link = results["link"]
    return (
        f"# Measured\n\n`{results['command']}` on {results['machine']}, load {results['load']:.1f}; the rows "
        f"are scaled by {results['size']}. Medians. The slow link lets each connection carry "
        f"{link['rate'] / 1e6:.0f} MB/s with {link['latency'] * 1000:.0f} ms of latency; the proxy itself "
        f"carries {link['carries']['at_that_rate_16'] / 1e6:.0f} MB/s over 16 connections at that rate and "
        f"{link['carries']['unthrottled'] / 1e6:.0f} MB/s where it does not throttle."
    )


def _measured(table: Table) -> list[str]:
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (server, network, row, operation), by_client in table.items():
        if network == "counted":
            continue
        seconds = {name: median(r["seconds"] for r in records) for name, records in by_client.items()}
        best = min((seconds[name] for name in _OTHERS if name in seconds), default=0.0)
        for name in CLIENTS:
            if name not in seconds:
                continue
            records = by_client[name]
            rate = records[0]["bytes"] / seconds[name] / 2**20
            found[server, network].append(
                f"| {row} | {operation} | {name} | {seconds[name]:.2f} | {rate:.0f} | "
                f"{_ratio(seconds.get(STOCK), seconds[name])} | {_ratio(best, seconds[name])} | "
                f"{median(r['cpu'] for r in records):.2f} | "
                f"{median(r['server_cpu'] for r in records):.2f} | {max(r['peak'] for r in records) >> 20} |"
            )
    head = (
        "| row | | client | s | MiB/s | times stock | of the fastest | CPU s | server CPU s | peak MiB |\n"
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|\n"
    )
    return [
        f"## {server}, {network}\n\n{head}" + "\n".join(lines) for (server, network), lines in found.items()
    ]


def _counted(table: Table) -> list[str]:
    lines = []
    for (server, network, row, operation), by_client in table.items():
        if network != "counted":
            continue
        for name in CLIENTS:
            for record in by_client.get(name, ()):
                share = 100 * record["sent" if operation == "save" else "received"] / record["bytes"]
                lines.append(
                    f"| {server} | {row} | {operation} | {name} | {record['requests']} | {share:.1f} % |"
                )
    head = (
        "| server | row | | client | requests | bytes moved, of the payload |\n|---|---|---|---|---:|---:|\n"
    )
    return [f"## Requests and bytes\n\nA run of its own, on rows of a quarter.\n\n{head}" + "\n".join(lines)]


def _growth(growth: dict[str, Any]) -> str:
    if not growth:
        return ""
    attempts = "\n".join(
        f"| {each['attempts']} | {len(each['requests'])} ({', '.join(each['requests'])}) |"
        for each in growth["attempts"]
    )
    files = "\n".join(
        f"| {each['files']} | {each['save']:.2f} | {each['restore']:.2f} |" for each in growth["files"]
    )
    copy, memory = growth["forward_copy"], growth["memory"]
    return (
        "## Growth\n\n| attempts | requests of a restore through LATEST, payload included |\n|---:|---|\n"
        f"{attempts}\n\n| files (local disk) | save s | restore s |\n|---:|---:|---:|\n{files}\n\n"
        f"A forward copy of {copy['payload'] >> 20} MiB: {copy['requests']} requests, "
        f"{copy['sent']} bytes sent and {copy['received']} received by this machine, all of them control.\n\n"
        f"A file of {memory['bytes'] >> 30} GiB on a local disk: at most {memory['save'] >> 20} MiB of "
        f"memory above the interpreter to save it, {memory['restore'] >> 20} MiB to restore it."
    )


def _ratio(base: float | None, value: float) -> str:
    return f"{base / value:.2f}" if base else ""


def _plot(table: Table, folder: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    places = dict.fromkeys((server, network) for server, network, _, _ in table if network != "counted")
    for server, network in places:
        keys = [key for key in table if key[:2] == (server, network)]
        names = [name for name in CLIENTS if any(name in table[key] for key in keys)]
        figure, axes = plt.subplots(figsize=(max(5, 1.6 * len(keys)), 4))
        width = 0.8 / len(names)
        for place, name in enumerate(names):
            heights = [
                median(r["bytes"] / r["seconds"] / 2**20 for r in table[key][name]) if table[key][name] else 0
                for key in keys
            ]
            axes.bar([number + place * width for number in range(len(keys))], heights, width, label=name)
        axes.set_xticks(
            [number + 0.4 - width / 2 for number in range(len(keys))],
            [f"{row}\n{operation}" for _, _, row, operation in keys],
            fontsize=8,
        )
        axes.set_ylabel("MiB/s (median)")
        axes.set_title(f"{server}, {network}")
        axes.legend(fontsize=8)
        figure.tight_layout()
        figure.savefig(folder / f"{server}-{network}.png", dpi=110)
        plt.close(figure)


if __name__ == "__main__":
    main()
