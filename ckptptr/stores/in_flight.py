"""Parts of one job on their way side by side: as many as there is room for, their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from ckptptr.stores.line import Line
from ckptptr.stores.room import Room

_T = TypeVar("_T")


class InFlight(Generic[_T]):
    """`room` bounds the parts in flight: shared between uploads, it bounds their memory together. For
    uploads `line` bounds them further.

    `begin` lets a part run in the background, a coroutine of a client or a function in a thread.
    """

    def __init__(self, begin: Callable[[Any], Future[_T]], room: Room, line: Line | None = None) -> None:
        self._begin = begin
        self._room = room
        self._line = line
        self._pending: deque[Future[_T]] = deque()
        self._results: list[_T] = []

    def wait_for_room(self, size: int) -> None:
        """Take room for the next part. Raises what an earlier part failed with."""
        while self._pending and self._pending[0].done():
            self._collect()
        self._room.take(size)
        if self._line:
            self._line.take(size)

    def start(self, work: Any, size: int) -> None:
        """Begin a part for which there is room."""
        part = self._begin(work)
        self._room.give_after(part, size)
        if self._line:
            self._line.give_after(part, size)
        self._pending.append(part)

    def finish(self) -> list[_T]:
        """Wait for all of them. Raises what the first that failed failed with."""
        while self._pending:
            self._collect()
        return self._results

    def cancel(self) -> None:
        """Interrupt what is under way, as far as that is possible."""
        for part in self._pending:
            part.cancel()

    def _collect(self) -> None:
        self._results.append(self._pending.popleft().result())


def each(
    begin: Callable[[Any], Future[object]], work: Callable[[_T], object], items: Iterable[_T], at_once: int
) -> None:
    """Begin `work(item)` of each item, at most `at_once` side by side, and wait for all.

    Raises what the first that failed failed with; what is under way then is interrupted.
    """
    jobs = InFlight(begin, Room(at_once))
    try:
        for item in items:
            jobs.wait_for_room(1)
            jobs.start(work(item), 1)
        jobs.finish()
    finally:
        jobs.cancel()
