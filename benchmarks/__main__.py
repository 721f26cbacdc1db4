"""Measure everything and write the tables: `make bench`, or `python -m benchmarks --help`.

Contestants take turns on the same server in the same run, each in a process of its own that is warm, and
the order turns from round to round: what else happens on the machine hits all of them. What counts are
medians and their ratios. Requests and bytes are counted in a run of their own, since a proxy that counts
slows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import blocked, growth, report
from benchmarks.clients import CLIENTS
from benchmarks.link import LATENCY, RATE, capacity
from benchmarks.places import PLACES, started
from benchmarks.rows import rows
from benchmarks.run import Run

HERE = Path(__file__).parent


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """The rows."""
    records: list[dict[str, Any]] = []
    small = rows(arguments.size / 4)
    for server in arguments.servers:
        for number, row in enumerate(rows(arguments.size)):
            if arguments.rows and row.name not in arguments.rows:
                continue
            with (  # a new one: what it keeps is in memory
                started(server, arguments.server_dir) as place,
                tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch,
            ):
                run = Run(arguments.clients, server, place, Path(scratch), records)
                run.timed(row, arguments.rounds, arguments.slow_rounds if number == 0 else 0)
                if arguments.count:
                    run.counted(small[number])
    carried = {"at_that_rate_16": capacity(16, RATE), "unthrottled": capacity(16)}
    return {
        "command": f"python -m benchmarks {' '.join(sys.argv[1:])}",
        "machine": f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}",
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "size": arguments.size,
        "link": {"rate": RATE, "latency": LATENCY, "carries": carried},
        "records": records,
        "blocked": {},
        "growth": {},
    }


def _save(results: dict[str, Any], folder: Path) -> None:
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    report.write(results, folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="ckptptr against the others.", prog="python -m benchmarks")
    parser.add_argument("--size", type=float, default=0.25, help="1: rows of 1 GiB (default: 0.25)")
    parser.add_argument("--rounds", type=int, default=3, help="on loopback (default: 3)")
    parser.add_argument("--slow-rounds", type=int, default=3, help="through the slow link (default: 3)")
    parser.add_argument("--servers", nargs="*", choices=[*PLACES], default=[*PLACES])
    parser.add_argument("--clients", nargs="+", choices=[*CLIENTS], default=[*CLIENTS])
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in rows(1)])
    parser.add_argument("--count", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--blocked", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--growth", nargs="*", choices=[*growth.PARTS], default=[*growth.PARTS])
    parser.add_argument(
        "--files",
        type=int,
        default=10_000,
        help="growth: at most so many on a local disk, a tenth on S3, a hundredth of history (10000)",
    )
    parser.add_argument("--scratch", type=Path, help="folder for local files (default: the temporary one)")
    parser.add_argument("--server-dir", type=Path, help="where SeaweedFS keeps its data (/dev/shm: memory)")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the tables")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    folders = (arguments.scratch, arguments.server_dir)
    results = measure(arguments)
    _save(results, arguments.out)  # before what takes long
    if arguments.blocked:
        results["blocked"] = blocked.measure(int(1024 * arguments.size), *folders)
        _save(results, arguments.out)
    if arguments.growth:
        results["growth"] = growth.measure(arguments.growth, arguments.files, *folders)
        _save(results, arguments.out)
    print(f"tables and plots: {arguments.out}")


if __name__ == "__main__":
    main()
