"""Parts of one object on their way side by side: as many as there is room for, their answers in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from ckptptr.stores.room import Room

_T = TypeVar("_T")


class Starter(Protocol):
    """A client that sends in the background."""

    def start(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Let a coroutine run, and do not wait for it."""


class Parts(Generic[_T]):
    """`room` bounds the parts in flight: shared between uploads, it bounds their memory together."""

    def __init__(self, client: Starter, room: Room) -> None:
        self._client = client
        self._room = room
        self._pending: deque[Future[_T]] = deque()
        self._answers: list[_T] = []

    def wait_for_room(self, size: int) -> None:
        """Take room for the next part. Raises what an earlier part failed with."""
        while self._pending and self._pending[0].done():
            self._collect()
        self._room.take(size)

    def start(self, work: Coroutine[Any, Any, _T], size: int) -> None:
        """Send a part for which there is room."""
        part = self._client.start(work)
        self._room.give_after(part, size)
        self._pending.append(part)

    def finish(self) -> list[_T]:
        """Wait for all of them. Raises what the first that failed failed with."""
        while self._pending:
            self._collect()
        return self._answers

    def cancel(self) -> None:
        """Send no more of them; those under way are interrupted."""
        for part in self._pending:
            part.cancel()

    def _collect(self) -> None:
        self._answers.append(self._pending.popleft().result())
