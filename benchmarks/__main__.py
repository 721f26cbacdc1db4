"""Measure everything and write the tables: `make bench`, or `python -m benchmarks --help`.

Contestants take turns on the same server in the same run, each in a process of its own, and the order
turns from round to round: what else happens on the machine hits all of them. What counts are medians
and their ratios. Requests and bytes are counted in a run of their own, since a proxy that counts slows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import growth, report
from benchmarks.clients import CLIENTS
from benchmarks.link import LATENCY, RATE, capacity, link
from benchmarks.places import PLACES, Place, started
from benchmarks.rows import Row, change, rows, write
from benchmarks.worker import Cost, Worker
from ckptptr.transfer.digest import digest_of
from tests.servers.proxy import FaultProxy

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Bench:
    """One row for some contestants on one server, by one network."""

    server: str
    network: str
    row: Row
    workers: dict[str, Worker]
    scratch: Path
    records: list[dict[str, Any]]

    def run(self, rounds: int, proxy: FaultProxy | None = None) -> None:
        source = self.scratch / "source"
        write(self.row, source)
        names = [*self.workers]
        for turn in range(rounds):
            for client in names[turn % len(names) :] + names[: turn % len(names)]:
                try:
                    self._turn(client, source, turn, proxy)
                except RuntimeError as error:
                    print(f"{self.server} {self.network} {self.row.name} {client}: {error}", file=sys.stderr)
        shutil.rmtree(source)

    def _turn(self, client: str, source: Path, turn: int, proxy: FaultProxy | None) -> None:
        worker, target = self.workers[client], self.scratch / "target"
        name = re.sub(r"[^a-z0-9]+", "-", f"{self.network}-{self.row.name}-{client}-{turn}")
        what = next(source.iterdir()) if self.row.count == 1 else source
        target.mkdir()
        try:
            if self.row.changed:  # it was saved and restored before, which is not measured
                worker.run("save", what, name)
                worker.run("restore", target, name)
                change(self.row, source)
            for operation, path in (("save", what), ("restore", target)):
                if proxy:
                    proxy.reset()
                cost = worker.run(operation, path, name)
                self._record(client, operation, turn, cost, proxy)
            expected = {file.name: digest_of(file) for file in source.iterdir()}
            if {file.name: digest_of(file) for file in target.iterdir()} != expected:
                raise RuntimeError("restored something else")
        finally:
            shutil.rmtree(target)

    def _record(self, client: str, operation: str, turn: int, cost: Cost, proxy: FaultProxy | None) -> None:
        counted = {}
        if proxy:
            log = proxy.log
            counted = {
                "requests": len(log),
                "sent": sum(seen.received for seen in log),
                "received": sum(seen.sent for seen in log),
            }
        self.records.append(
            {
                "server": self.server,
                "network": self.network,
                "row": self.row.name,
                "bytes": self.row.bytes,
                "client": client,
                "operation": operation,
                "round": turn,
                **asdict(cost),
                **counted,
            }
        )
        rate = self.row.bytes / cost.seconds / 2**20
        print(
            f"{self.server:6} {self.network:9} {self.row.name:15} {operation:8} {client:18}"
            f"{cost.seconds:8.2f} s {rate:7.0f} MiB/s {cost.cpu:6.2f} CPU s {cost.peak >> 20:5} MiB",
            counted or "",
            flush=True,
        )


@contextmanager
def _workers(clients: Sequence[str], server: str, place: Place, port: int) -> Iterator[dict[str, Worker]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(Worker(name, place.root, place.environ(port)))
            for name in clients
            if server in CLIENTS[name].servers
        }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    records: list[dict[str, Any]] = []
    chosen = [row for row in rows(arguments.size) if not arguments.rows or row.name in arguments.rows]
    for server in arguments.servers:
        with started(server) as place, tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
            if arguments.rounds:
                with _workers(arguments.clients, server, place, place.port) as workers:
                    for row in chosen:
                        bench = Bench(server, "loopback", row, workers, Path(folder), records)
                        bench.run(arguments.rounds)
            if arguments.slow_rounds:
                with (
                    link(place.port) as port,
                    _workers(arguments.clients, server, place, port) as workers,
                ):
                    for row in chosen[:1]:
                        bench = Bench(server, "slow", row, workers, Path(folder), records)
                        bench.run(arguments.slow_rounds)
            if arguments.count:
                with (
                    FaultProxy(f"http://127.0.0.1:{place.port}") as proxy,
                    _workers(arguments.clients, server, place, proxy.port) as workers,
                ):
                    for row in rows(arguments.size / 4):
                        if not arguments.rows or row.name in arguments.rows:
                            bench = Bench(server, "counted", row, workers, Path(folder), records)
                            bench.run(1, proxy)
    return {
        "command": f"python -m benchmarks {' '.join(sys.argv[1:])}",
        "machine": f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}",
        "load": os.getloadavg()[0],
        "size": arguments.size,
        "link": {
            "rate": RATE,
            "latency": LATENCY,
            "carries_at_that_rate_16": capacity(16, RATE),
            "carries_unthrottled": capacity(16),
        },
        "records": records,
        "growth": growth.measure() if arguments.growth else {},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="ckptptr against the others.", prog="python -m benchmarks")
    parser.add_argument("--size", type=float, default=0.25, help="1: rows of 1 GiB (default: 0.25)")
    parser.add_argument("--rounds", type=int, default=3, help="on loopback (default: 3)")
    parser.add_argument("--slow-rounds", type=int, default=2, help="through the slow link (default: 2)")
    parser.add_argument("--servers", nargs="+", choices=[*PLACES], default=[*PLACES])
    parser.add_argument("--clients", nargs="+", choices=[*CLIENTS], default=[*CLIENTS])
    parser.add_argument("--rows", nargs="+", choices=[row.name for row in rows(1)])
    parser.add_argument("--count", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--growth", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--scratch", type=Path, help="folder for local files (default: the temporary one)")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the tables")
    arguments = parser.parse_args()
    results = measure(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1))
    report.write(results, arguments.out)
    print(f"tables and plots: {arguments.out}")


if __name__ == "__main__":
    main()
