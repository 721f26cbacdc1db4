"""The contestants on one server, one row at a time: they take turns, and what each turn cost is a record.

A turn counts only where what was restored is what was saved.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.clients import CLIENTS
from benchmarks.link import link
from benchmarks.places import Place
from benchmarks.rows import Row, change, write
from benchmarks.worker import Worker, cpu_of
from ckptptr.transfer.digest import digest_of
from tests.servers.proxy import FaultProxy


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
        before = len(self.records)
        try:
            if self.row.changed:  # it was saved and restored before, which is not measured
                for operation, path in (("save", what), ("restore", target)):
                    worker.prepare(operation, name)
                    worker.run(operation, path, name)
                time.sleep(1.1)  # s5cmd goes by times, in whole seconds
                change(self.row, source)
            for operation, path in (("save", what), ("restore", target)):
                worker.prepare(operation, name)
                if proxy:
                    proxy.reset()
                spent = -cpu_of(self.server_pid)
                cost = worker.run(operation, path, name)
                spent += cpu_of(self.server_pid)
                self._record(client, operation, turn, {**asdict(cost), "server_cpu": spent}, proxy)
            expected = {file.name: digest_of(file) for file in source.iterdir()}
            if {file.name: digest_of(file) for file in target.iterdir()} != expected:
                del self.records[before:]
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
            workers = {
                name: stack.enter_context(Worker(name, self.place.root, self.place.environ(port)))
                for name in self.clients
                if self.server in CLIENTS[name].servers
            }
            for name, worker in workers.items():  # all, before the first is timed
                try:
                    worker.warm_up()
                except RuntimeError as error:
                    print(f"{self.server} {name}, before anything is timed: {error}", file=sys.stderr)
            yield workers
