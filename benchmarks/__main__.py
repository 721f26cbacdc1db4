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
from benchmarks.worker import Worker, cpu_of
from ckptptr.transfer.digest import digest_of
from tests.servers.proxy import FaultProxy

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Bench:
    """One row for some contestants on one server, by one network."""

    server: str
    server_pid: int
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
                for operation, path in (("save", what), ("restore", target)):
                    worker.prepare(operation, name)
                    worker.run(operation, path, name)
                change(self.row, source)
            for operation, path in (("save", what), ("restore", target)):
                worker.prepare(operation, name)
                if proxy:
                    proxy.reset()
                before = cpu_of(self.server_pid)
                cost = worker.run(operation, path, name)
                spent = cpu_of(self.server_pid) - before
                self._record(client, operation, turn, {**asdict(cost), "server_cpu": spent}, proxy)
            expected = {file.name: digest_of(file) for file in source.iterdir()}
            if {file.name: digest_of(file) for file in target.iterdir()} != expected:
                raise RuntimeError("restored something else")
        finally:
            shutil.rmtree(target)

    def _record(
        self, client: str, operation: str, turn: int, cost: dict[str, float], proxy: FaultProxy | None
    ) -> None:
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
                **cost,
                **counted,
            }
        )
        rate = self.row.bytes / cost["seconds"] / 2**20
        print(
            f"{self.server:6} {self.network:9} {self.row.name:15} {operation:8} {client:18}"
            f"{cost['seconds']:8.2f} s {rate:6.0f} MiB/s {cost['cpu']:6.2f}+{cost['server_cpu']:.2f} CPU s "
            f"{cost['peak'] / 2**20:5.0f} MiB",
            counted or "",
            flush=True,
        )


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    records: list[dict[str, Any]] = []
    small = rows(arguments.size / 4)
    for server in arguments.servers:
        for number, row in enumerate(rows(arguments.size)):
            if arguments.rows and row.name not in arguments.rows:
                continue
            with _place(arguments, server) as (place, scratch):  # a new one: what it keeps is in memory
                run = Run(arguments.clients, server, place, scratch, records)
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
        "growth": growth.measure() if arguments.growth else {},
    }


@contextmanager
def _place(arguments: argparse.Namespace, server: str) -> Iterator[tuple[Place, Path]]:
    tempfile.tempdir = arguments.server_dir and str(arguments.server_dir)
    try:
        with ExitStack() as stack:
            place = stack.enter_context(started(server))
            tempfile.tempdir = None
            yield place, Path(stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.scratch)))
    finally:
        tempfile.tempdir = None


@dataclass(frozen=True, slots=True)
class Run:
    """The contestants on one server that has just been started."""

    clients: Sequence[str]
    server: str
    place: Place
    scratch: Path
    records: list[dict[str, Any]]

    def timed(self, row: Row, rounds: int, slow_rounds: int) -> None:
        if rounds:
            with self._workers(self.place.port) as workers:
                self._bench("loopback", row, workers).run(rounds)
        if slow_rounds:
            with link(self.place.port) as port, self._workers(port) as workers:
                self._bench("slow", row, workers).run(slow_rounds)

    def counted(self, row: Row) -> None:
        with (
            FaultProxy(f"http://127.0.0.1:{self.place.port}") as proxy,
            self._workers(proxy.port) as workers,
        ):
            self._bench("counted", row, workers).run(1, proxy)

    def _bench(self, network: str, row: Row, workers: dict[str, Worker]) -> Bench:
        return Bench(self.server, self.place.pid, network, row, workers, self.scratch, self.records)

    @contextmanager
    def _workers(self, port: int) -> Iterator[dict[str, Worker]]:
        with ExitStack() as stack:
            yield {
                name: stack.enter_context(Worker(name, self.place.root, self.place.environ(port)))
                for name in self.clients
                if self.server in CLIENTS[name].servers
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
    parser.add_argument("--server-dir", type=Path, help="where SeaweedFS keeps its data (/dev/shm: memory)")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder for the tables")
    arguments = parser.parse_args()
    results = measure(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1))
    report.write(results, arguments.out)
    print(f"tables and plots: {arguments.out}")


if __name__ == "__main__":
    main()
