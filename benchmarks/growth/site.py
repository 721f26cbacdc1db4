"""Where growth is measured: one S3 server, directly for what is timed, by a proxy for what is counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import ckptptr
from benchmarks.places import Place
from tests.servers.proxy import FaultProxy

TIMES = 5


@dataclass(frozen=True, slots=True)
class Site:
    """`scratch` is a folder on a local disk."""

    place: Place
    proxy: FaultProxy
    scratch: Path

    def open(self, name: str, *, counted: bool = False, **settings: Any) -> ckptptr.Checkpoints:
        """The checkpoints of that name. One that is `counted` goes by the proxy."""
        port = self.proxy.port if counted else self.place.port
        options = {"endpoint_url": f"http://127.0.0.1:{port}"}
        return ckptptr.open(f"{self.place.root}/{name}", storage_options=options, **settings)

    def requests(self, work: Callable[[], object]) -> list[str]:
        """The methods of the requests that reach the proxy meanwhile."""
        self.proxy.reset()
        work()
        return [seen.method for seen in self.proxy.log]

    def restored(self, reader: ckptptr.Checkpoints) -> None:
        """Restore into a folder that is new."""
        reader.restore(self.scratch / f"restored-{time.monotonic_ns()}")


def seconds(work: Callable[[], object], times: int = TIMES) -> float:
    """The median of so many."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return median(found)
