"""Room in memory for payload under way: what all transfers of one store hold together is bounded.

It is counted in bytes and not in requests, since the blocks of enormous files are large.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ckptptr.lifetime.forks import renew_in_child

ROOM = 128 * 1024 * 1024
"""Bytes in flight at most; with what the SDKs hold besides, the whole stays below 256 MiB."""

WIDE = 192 * 1024 * 1024
"""The same for obstore, which holds nothing besides."""

MOST = 16
"""Transfers at once at most, however small they are."""

BLOCKS = 38
"""Blocks of one file at once at most: as many of 5 MiB as there is room for with obstore."""


class Room:
    """`size` bytes for `most` transfers, to be taken and given back. What is larger than all goes alone."""

    def __init__(self, size: int = ROOM, most: int = MOST) -> None:
        self._size = size
        self._least = size // most
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Take nothing: in a fork the transfers are the parent's."""
        self._free = self._size
        self._changed = threading.Condition()

    def take(self, size: int) -> None:
        """Wait until there is room for `size` bytes."""
        self._take(size, 1, 1)

    def give(self, size: int) -> None:
        """Give back what was taken."""
        self._give(size, 1)

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Room for `size` bytes while the `with` block runs."""
        self.take(size)
        try:
            yield
        finally:
            self.give(size)

    @contextmanager
    def some_taken(self, size: int, wanted: int) -> Iterator[int]:
        """Room for some blocks of `size` bytes, and how many: all that are wanted if there is room; else
        fewer, but not very few."""
        most = self._size // self._counted(size)
        wanted = max(1, min(wanted, most))
        given = self._take(size, wanted, min(wanted, max(1, most // 4)))
        try:
            yield given
        finally:
            self._give(size, given)

    def _take(self, size: int, wanted: int, least: int) -> int:
        size = self._counted(size)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= least * size)
            given = min(wanted, self._free // size)
            self._free -= given * size
        return given

    def _give(self, size: int, count: int) -> None:
        with self._changed:
            self._free += self._counted(size) * count
            self._changed.notify_all()

    def _counted(self, size: int) -> int:
        return max(self._least, min(size, self._size))
