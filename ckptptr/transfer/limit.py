"""What limited a transfer, in one sentence, from what was measured in it.

A network and a store that are slow look the same from here, and other programs that take the CPU are not
seen: the sentence claims neither.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ckptptr.wording import size

_MOST = 0.8
"""From this share of what there is, it is what limits."""
_HALF = 0.5
_SMALL = 1 << 20
"""Bytes: the time of a smaller request is that of an answer, and not of the bytes."""
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


class Measured:
    """What one transfer spends its time on; all threads add to it.

    Args:
        clock, cpu: seconds, as `time.monotonic` and `time.process_time`.
    """

    def __init__(self, clock: Callable[[], float], cpu: Callable[[], float]) -> None:
        self.clock = clock
        self._cpu = cpu
        self._lock = threading.Lock()
        self._began, self._cpu_before = clock(), cpu()
        self._now = self._most = self._requests = 0
        self._waited = 0.0
        self.here = 0.0
        """Seconds that requests waited for this machine."""
        self.answered = 0
        """Bytes that the store has answered for."""

    @contextmanager
    def request(self, size: int) -> Iterator[None]:
        """A file or a range of that many bytes is under way."""
        with self._lock:
            self._now += 1
            self._most = max(self._most, self._now)
        begun = self.clock()
        try:
            yield
        finally:
            with self._lock:
                self.answered += size
                self._now -= 1
                self._requests += 1
                self._waited += self.clock() - begun

    def limit(self, count: int, cores: float) -> str:
        """The sentence, of a transfer of `count` bytes by a process that may use that many cores; empty where
        nothing was requested.

        The first that holds, since a busy CPU also makes every answer late.
        """
        seconds = max(self.clock() - self._began, 1e-3)
        used = (self._cpu() - self._cpu_before) / seconds
        if not self._requests:
            return ""
        under_way = self._waited / seconds
        each, took = count // self._requests, self._waited / self._requests
        if used >= _MOST * cores:
            return f"the CPU: this process used {used:.1f} of {cores:.1f} cores"
        if self.here >= _HALF * self._waited:
            share = 100 * self.here / max(self._waited, 1e-3)
            return f"this machine's disk, or the program that writes: {share:.0f} % of the time went there"
        said = f"{under_way:.1f} requests were under way on average, {self._most} at most"
        if under_way < _HALF * self._most:
            return f"too little to do at once: {said}"
        if each < _SMALL:
            return f"the answers: {took * 1000:.0f} ms for each request of {size(each)}; {said}"
        pace = size(int(count / seconds / max(under_way, 1)))
        return f"the network or the store, which look the same from here: {pace}/s for each; {said}"


def cores(quota: Path = _QUOTA) -> float:
    """How many this process may use: those of the machine, or the limit of its container."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    with suppress(OSError, ValueError):  # another system, or no limit: `max 100000`
        most, period = map(float, quota.read_text().split())
        count = min(count, most / period)
    return count
