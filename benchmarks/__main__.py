"""Measure everything and write the tables: `make bench`, or `python -m benchmarks --help`.

Contestants take turns on the same server in the same run, each in a process of its own that is warm, and
the order turns from round to round: what else happens on the machine hits all of them. What counts are
medians and their ratios. The null server counts requests itself; on the others they are counted in a run of
their own, on rows of a quarter, since a proxy that counts slows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import blocked, growth, null, report
from benchmarks.clients import CLIENTS, CONNECTIONS
from benchmarks.places import PLACES, started
from benchmarks.rows import rows
from benchmarks.run import Run

HERE = Path(__file__).parent


def measure(arguments: argparse.Namespace, results: dict[str, Any]) -> None:
    """The rows, into the records; those of the same row and network that are there are replaced."""
    for server in arguments.servers:
        if server == "null" and not null.can_build():
            results["missing"]["the null server"] = "gcc, which builds it, is not installed"
            continue
        for network in PLACES[server].networks:
            if network in arguments.networks:
                _measure(arguments, results, server, network)


def _measure(arguments: argparse.Namespace, results: dict[str, Any], server: str, network: str) -> None:
    size = arguments.size or (1 if server == "null" else 0.25)
    for row in rows(size / 4 if network == "counted" else size):
        if (arguments.rows and row.name not in arguments.rows) or (server == "null" and row.changed):
            continue
        measured: list[dict[str, Any]] = []
        with (  # a new one: what it keeps is in memory
            started(server, arguments.server_dir, 2.2 * row.bytes / 2**30 + 0.3) as place,
            tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch,
        ):
            run = Run(arguments.clients, server, place, Path(scratch), measured, results["missing"])
            run.measure(row, network, arguments.rounds)
        replaced = {(each["server"], each["network"], each["row"], each["client"]) for each in measured}
        results["records"] = [
            each
            for each in results["records"]
            if (each["server"], each["network"], each["row"], each["client"]) not in replaced
        ] + measured
        _save(results, arguments.out)


def _begun(arguments: argparse.Namespace) -> dict[str, Any]:
    """What is there, with `--add`; nothing else."""
    path = arguments.out / "results.json"
    kept = json.loads(path.read_text()) if arguments.add and path.exists() else {}
    return {
        "records": [],
        "missing": {},
        "blocked": {},
        "growth": {},
        **kept,
        "machine": f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}",
    }


def _save(results: dict[str, Any], folder: Path) -> None:
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    report.write(results, folder)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="ckptptr against the others.", prog="python -m benchmarks")
    parser.add_argument("--size", type=float, help="1: rows of 1 GiB (default: null server 1, others 0.25)")
    parser.add_argument("--rounds", type=int, default=3, help="for each row and network (default: 3)")
    parser.add_argument("--servers", nargs="*", choices=[*PLACES], default=[*PLACES])
    parser.add_argument("--networks", nargs="+", choices=[*CONNECTIONS], default=[*CONNECTIONS])
    parser.add_argument("--add", action="store_true", help="keep what was measured before of other rows")
    parser.add_argument("--clients", nargs="+", choices=[*CLIENTS], default=[*CLIENTS])
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in rows(1)])
    parser.add_argument("--blocked", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--growth", nargs="*", choices=[*growth.PARTS], default=[*growth.PARTS])
    parser.add_argument(
        "--files",
        type=int,
        default=10_000,
        help="growth: at most so many; a tenth of them for stock, a hundredth of history (10000)",
    )
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    parser.add_argument("--scratch", type=Path, default=memory, help="for local files (default: in memory)")
    parser.add_argument("--server-dir", type=Path, help="where SeaweedFS keeps its data (/dev/shm: memory)")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the tables")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    arguments.out.mkdir(parents=True, exist_ok=True)
    folders = (arguments.scratch, arguments.server_dir)
    results = _begun(arguments)
    measure(arguments, results)
    if arguments.blocked:
        results["blocked"] = blocked.measure(int(1024 * (arguments.size or 0.25)), *folders)
        _save(results, arguments.out)
    if arguments.growth:
        results["growth"] |= growth.measure(arguments.growth, arguments.files, *folders)
    _save(results, arguments.out)
    print(f"tables and plots: {arguments.out}")


if __name__ == "__main__":
    main()
