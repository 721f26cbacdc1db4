"""The way out to one store, as its uploads find it: how much goes at once, and when an upload is overdue.

On a slow line, all that is under way arrives late together, after minutes in which nothing does. That is no
failure. But nothing tells it from a server that fell silent, and what fails then has to go once more. So
less goes at once as soon as parts were late. Where only each connection is slow, many parts at once are in
time, and go on; as far as memory allows, see `room`.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from ckptptr.errors import AccessDeniedError, DamagedError, NotFoundError
from ckptptr.lifetime.forks import renew_in_child

IN_TIME = 60.0
SLOWEST = 64 * 1024
SMALL = 64 * 1024
"""Bytes: what is not larger has the time of an answer, and needs none for itself."""
LONG = 3600.0
"""Seconds in place of an SDK's own limit, where a `Line` ends what takes too long."""
ANSWERS = (NotFoundError, DamagedError, AccessDeniedError)
"""What a store that refuses a request has answered all the same."""
CURE = "The line is slow, or too many share it: save less, less often, or from fewer machines at once."

_SLACK = 4  # times as long as others took may an upload take
_TELLING = 1024 * 1024  # bytes: what less takes is the time of a request, and not of the bytes
_MIB = 1024 * 1024
_T = TypeVar("_T")


class OverdueError(asyncio.TimeoutError):
    """An upload was not answered in the time that it had; the text says what was under way, and how long."""


class Line:
    """That of one store: what its uploads have under way, in bytes, and how long such take, in seconds.

    Args:
        answer: how long an answer may take when the bytes have arrived.
        in_time: seconds in which what is under way at once has to arrive, or less goes from then on.
        slowest: bytes in a second: a line of which nothing is known may be that slow.
    """

    def __init__(
        self,
        answer: float,
        *,
        in_time: float = IN_TIME,
        slowest: float = SLOWEST,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.answer = answer
        self.in_time = in_time
        self.slowest = slowest
        self.timer = timer
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Nothing is under way, and nothing known: in a fork the uploads are the parent's."""
        self._changed = threading.Condition()
        self._under_way = 0
        self._most = math.inf
        self._pace = 0.0
        self._last = -math.inf

    @property
    def under_way(self) -> int:
        return self._under_way

    def patience(self, begun: float, size: int = 0) -> float:
        """How long `size` bytes that were begun then may take: not much longer than what has arrived since.

        Where nothing has, the line may be slow; a store that fell silent is noticed otherwise.
        """
        pace = min(_SLACK * self._pace, 1 / self.slowest) if self._last > begun else 1 / self.slowest
        return self.answer + max(size, self._under_way) * pace

    def take(self, size: int, wanted: int = 1) -> int:
        """Wait until parts of this size may go: one at least, and of those wanted as many as are in time."""
        size = max(1, size)
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way or self._under_way + size <= self._most)
            count = max(1, int(min(wanted, (self._most - self._under_way) / size)))
            self._under_way += count * size
        return count

    def give(self, size: int, count: int = 1) -> None:
        """They are not under way any more."""
        with self._changed:
            self._under_way -= count * max(1, size)
            self._changed.notify_all()

    @contextmanager
    def taken(self, size: int, wanted: int = 1) -> Iterator[int]:
        """`take` and `give`."""
        count = self.take(size, wanted)
        try:
            yield count
        finally:
            self.give(size, count)

    def took(self, seconds: float, size: int) -> None:
        """A part has arrived after these seconds, while `size` bytes were under way."""
        with self._changed:
            if size >= _TELLING:
                self._pace, self._last = seconds / size, self.timer()
            self._adapt(seconds, size)

    def _adapt(self, seconds: float, size: int) -> None:
        in_time = size * self.in_time / max(seconds, 1e-3)
        if seconds > self.in_time or in_time > self._most:
            self._most = in_time
            self._changed.notify_all()

    async def sent(self, size: int, request: Awaitable[_T], sign: Callable[[], Awaitable[object]]) -> _T:
        """The answer to a request of that many bytes, which has the time that it needs.

        Args:
            sign: a request to the store, sent now and then while it waits; a refusal is an answer, too.

        Raises:
            OverdueError: there was none, and the store answers.
        """
        begun, beside = self.timer(), self._under_way
        task = asyncio.ensure_future(request)
        try:
            while not (await asyncio.wait({task}, timeout=self.wait(begun, size)))[0]:
                with suppress(*ANSWERS):
                    await sign()
                self.check(begun, size)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        answer = task.result()
        self.took(self.timer() - begun, max(size, beside, self._under_way))
        return answer

    def wait(self, begun: float, size: int = 0) -> float:
        """How long to wait for what was begun then, before the next sign of the store is asked for."""
        return min(self.answer, max(0.0, begun + self.patience(begun, size) - self.timer()))

    def check(self, begun: float, size: int = 0) -> None:
        """Raise `OverdueError` if it is."""
        seconds = self.timer() - begun
        if seconds < self.patience(begun, size):
            return
        with self._changed:
            self._adapt(seconds, self._under_way)
        raise OverdueError(
            f"nothing in {seconds:.0f} s, with {self._under_way / _MIB:.0f} MiB under way at once"
        )
