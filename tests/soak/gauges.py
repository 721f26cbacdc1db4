"""What a process has in use, and what must not grow: the first stretch of a story against its last.

Each stretch has the same number of turns (saves, attempts, sets). The bounds:

- *requests* of each kind, a turn: equal. What comes at every fiftieth save comes as often in each stretch.
- *heap*: blocks that Python has allocated. What a turn keeps for good is at least one block, so half a block
  for each turn is a leak; 2,000 blocks more are caches.
- *memory*: resident, MiB. 16 are what allocators keep in pieces; a leak of payload is more.
- *threads*, *handles*: two more, since a pool may have opened another connection.
- *temporary files*, *objects*: none more.
- *time*: the median turn in units of one read of the same store, which is timed after each turn: so what else
  the machine does meanwhile counts little. A quarter more is growth.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from statistics import median

from ckptptr.testing.faults import Request
from tests.memory import resident
from tests.soak.site import Site, kinds

MiB = 1 << 20
_LOOKS = 50
CONTROL = "control"


@dataclass(frozen=True)
class Row:
    """One number, at first and at last, and what it may be at last."""

    what: str
    first: float
    last: float
    limit: float

    @property
    def broken(self) -> str:
        """What is wrong, in words; empty if nothing is."""
        if self.last <= self.limit + 1e-9:
            return ""
        return f"{self.what}: {self.first:,.2f} at first, {self.last:,.2f} at last, at most {self.limit:,.2f}"

    def __str__(self) -> str:
        numbers = (f"{number:,.2f}".removesuffix(".00") for number in (self.first, self.last, self.limit))
        return f"| {' | '.join((self.what, *numbers))} |{' broken' if self.broken else ''}"


@dataclass(frozen=True)
class Gauges:
    """Of this process."""

    heap: int
    memory: float
    threads: int
    handles: int

    @staticmethod
    def now() -> Gauges:
        """When connections are closed that a client had which is gone: obstore closes them a moment later."""
        gc.collect()
        handles, looks = -1, 0
        while handles != (handles := len(os.listdir("/proc/self/fd"))) and looks < _LOOKS:
            time.sleep(0.1)
            looks += 1
        used = (len(os.listdir(f"/proc/self/{what}")) for what in ("task", "fd"))
        return Gauges(sys.getallocatedblocks(), resident() / MiB, *used)


@dataclass(frozen=True)
class Stretch:
    requests: dict[str, float]
    turn: float
    control: float
    gauges: Gauges
    temporary: int
    objects: int


class Meter:
    """Times the turns of a story, and looks at the gauges after each stretch.

    Args:
        quiet: waits for what a turn has begun in the background.
        more_objects: how many each turn may leave.
        at_most: how many requests a turn may send; else each kind must be as often as at first.
    """

    def __init__(
        self,
        site: Site,
        log: list[Request],
        quiet: Callable[[], object] = lambda: None,
        *,
        more_objects: int = 0,
        at_most: float | None = None,
    ) -> None:
        self._site, self._log, self._quiet = site, log, quiet
        self._more_objects, self._at_most = more_objects, at_most
        self._length = 0
        self.stretches: list[Stretch] = []
        self._store, key = site.raw()
        self._control = f"{key}/{CONTROL}"
        self._store.upload(self._control, [b"control"])

    def turns(self, size: int, stretches: int, *, warm: int) -> Iterator[int]:
        """The numbers of the turns: `warm` of them before the first stretch."""
        self._length = size // stretches
        seconds: list[float] = []
        controls: list[float] = []
        for turn in range(-warm, self._length * stretches):
            began = time.perf_counter()
            yield turn + warm
            done = time.perf_counter()
            self._store.read(self._control)
            seconds.append(done - began)
            controls.append(time.perf_counter() - done)
            if turn + 1 == 0 or (turn + 1 > 0 and (turn + 1) % self._length == 0):
                self._quiet()
                sent = {kind: count / len(seconds) for kind, count in kinds(self._log).items()}
                if turn >= 0:
                    times = median(seconds), median(controls)
                    end = self._site.temporary(), self._site.objects()
                    self.stretches.append(Stretch(sent, *times, Gauges.now(), *end))
                seconds.clear()
                controls.clear()

    def rows(self) -> list[Row]:
        """The first stretch against the last one."""
        first, last = self.stretches[0], self.stretches[-1]
        turns = self._length * (len(self.stretches) - 1)
        return [*self._requests(first, last), *grown(first.gauges, last.gauges, turns), *self._rest(turns)]

    def _requests(self, first: Stretch, last: Stretch) -> Iterator[Row]:
        if self._at_most is not None:
            sums = [sum(stretch.requests.values()) for stretch in (first, last)]
            yield Row("requests", *sums, limit=self._at_most)
            return
        for kind in sorted({*first.requests, *last.requests}):
            before, after = (stretch.requests.get(kind, 0.0) for stretch in (first, last))
            yield Row(f"requests: {kind}", before, after, before)

    def _rest(self, turns: int) -> Iterator[Row]:
        first, last = self.stretches[0], self.stretches[-1]
        yield Row("temporary files", first.temporary, last.temporary, first.temporary)
        more = self._more_objects * turns
        yield Row("objects", first.objects, last.objects, first.objects + more)
        units = [stretch.turn / stretch.control for stretch in (first, last)]
        yield Row("time, in reads", *units, limit=1.25 * units[0] if self._length >= 20 else inf)
        yield Row("time, ms", 1000 * first.turn, 1000 * last.turn, inf)


def grown(first: Gauges, last: Gauges, turns: int) -> Iterator[Row]:
    """What a process has in use, after so many turns more."""
    yield Row("heap, blocks", first.heap, last.heap, first.heap + 2000 + turns / 2)
    yield Row("memory, MiB", first.memory, last.memory, first.memory + 16)
    yield Row("threads", first.threads, last.threads, first.threads + 2)
    yield Row("handles", first.handles, last.handles, first.handles + 2)
