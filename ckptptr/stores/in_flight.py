"""Parts of one job on their way side by side: as many as there is room for, their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from typing import Generic, TypeVar

from ckptptr.stores.line import Line
from ckptptr.stores.room import Room

_T = TypeVar("_T")


class InFlight(Generic[_T]):
    """`room` bounds the parts in flight: shared between uploads, it bounds their memory together. For
    uploads `line` bounds them further.
    """

    def __init__(self, room: Room, line: Line | None = None) -> None:
        self._room = room
        self._line = line
        self._pending: deque[Future[_T]] = deque()
        self._results: list[_T] = []

    def start(self, begin: Callable[[], Future[_T]], size: int) -> None:
        """Begin a part as soon as there is room for it. Raises what an earlier part failed with.

        `begin` lets it run in the background: a coroutine of a client, or a function in a thread.
        """
        while self._pending and self._pending[0].done():
            self._collect()
        self._pending.append(begun(begin, size, self._room, self._line))

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


def begun(begin: Callable[[], Future[_T]], size: int, room: Room, line: Line | None = None) -> Future[_T]:
    """What `begin` begins, as soon as there is room for `size` bytes, and they are in time on the line.

    Both are given back when it has ended, however it ends; also if it never began.
    """
    with ExitStack() as taken:
        room.take(size)
        taken.callback(room.give, size)
        if line:
            line.take(size)
            taken.callback(line.give, size)
        part = begin()
        ended = taken.pop_all()
    part.add_done_callback(lambda _: ended.close())
    return part


def each(begin: Callable[[_T], Future[object]], items: Iterable[_T], at_once: int) -> None:
    """Begin something with each item, at most `at_once` side by side, and wait for all.

    Raises what the first that failed failed with; what is under way then is interrupted.
    """
    jobs: InFlight[object] = InFlight(Room(at_once))
    try:
        for item in items:
            jobs.start(partial(begin, item), 1)
        jobs.finish()
    finally:
        jobs.cancel()
