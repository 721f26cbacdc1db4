"""The contestants on one server, one row at a time: they take turns, and what each turn cost is a record.

A turn counts only where what was restored is what was saved.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.clients import CLIENTS
from benchmarks.places import Place
from benchmarks.rows import Row, change, change_all, touch, write
from benchmarks.worker import Worker, cpu_of
from ckptptr.transfer.digest import digest_of
from tests.servers.proxy import FaultProxy

LATER = "later save"
"""Of files that have all changed, to where they were saved before."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One row for some contestants on one server, by one network."""

    server: str
    place: Place
    network: str
    row: Row
    workers: dict[str, Worker]
    scratch: Path
    records: list[dict[str, Any]]
    said: Mapping[str, Any]
    """What each record says of the run."""

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
            self._measure(client, "save", what, name, turn, proxy)
            if CLIENTS[client].knows_the_last and not self.row.changed and not proxy:
                change_all(source)
                self._measure(client, LATER, what, name, turn, proxy)
            self._measure(client, "restore", target, name, turn, proxy)
            expected = {file.name: digest_of(file) for file in source.iterdir()}
            if {file.name: digest_of(file) for file in target.iterdir()} != expected:
                del self.records[before:]
                raise RuntimeError("restored something else")
        finally:
            shutil.rmtree(target)
            self.place.reset()

    def _measure(  # noqa: PLR0917
        self, client: str, operation: str, path: Path, name: str, turn: int, proxy: FaultProxy | None
    ) -> None:
        worker, is_later = self.workers[client], operation == LATER
        if not is_later:
            worker.prepare(operation, name)
        if proxy:
            proxy.reset()
        if operation == "restore":
            touch(self.row.bytes, self.scratch)
        answered, spent = self.place.requests(), cpu_of(self.place.pid)
        cost: dict[str, float] = asdict(worker.run("save" if is_later else operation, path, name))
        cost["server_cpu"] = cpu_of(self.place.pid) - spent
        if answered is not None:
            cost["requests"] = (self.place.requests() or 0) - answered
        self._record(client, operation, turn, cost, proxy)

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
                **self.said,
                **cost,
                **counted,
            }
        )
        rate = self.row.bytes / cost["seconds"] / 2**20
        print(
            f"{self.server:6} {self.network:9} {self.row.name:15} {operation:10} {client:22}"
            f"{cost['seconds']:8.2f} s {rate:6.0f} MiB/s {cost['cpu']:6.2f}+{cost['server_cpu']:.2f} CPU s "
            f"{cost['peak'] / 2**20:5.0f} MiB",
            counted or cost.get("requests", ""),
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
    missing: dict[str, str]
    """Contestants that could not even begin, with the reason."""

    def measure(self, row: Row, network: str, rounds: int) -> None:
        said = {"commit": _commit(), "load": os.getloadavg()[0]}
        bench = partial(Bench, self.server, self.place, network, row)
        self.place.set_network(network)
        with ExitStack() as stack:
            proxy, port = None, self.place.port
            if network == "counted":
                proxy = stack.enter_context(FaultProxy(f"http://127.0.0.1:{port}"))
                port = proxy.port
            workers = stack.enter_context(self._workers(port, network))
            bench(workers, self.scratch, self.records, said).run(1 if proxy else rounds, proxy)

    @contextmanager
    def _workers(self, port: int, network: str) -> Iterator[dict[str, Worker]]:
        with ExitStack() as stack:
            workers = {
                name: stack.enter_context(Worker(name, self.place.root, self.place.environ(port), network))
                for name in self.clients
                if self.server in CLIENTS[name].servers
            }
            for name, worker in [*workers.items()]:  # all, before the first is timed
                try:
                    worker.warm_up()
                except RuntimeError as error:
                    self.missing[name] = str(error)
                    del workers[name]
                    print(f"{self.server} {name}, before anything is timed: {error}", file=sys.stderr)
            yield workers


def _commit() -> str:
    """The commit that is measured; with a `+` where files were changed since."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude", "*"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
