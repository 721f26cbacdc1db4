"""Whether a file of a few blocks goes in one request, or in its blocks: how fast one request is.

A few of them go in one request each, and tell. What begins before these have arrived goes in blocks.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ckptptr.stores.port import Store
from ckptptr.stores.room import Room
from ckptptr.transfer.plan import ONE_REQUEST, block_for, even_block

_SLOW = 40_000_000
"""Bytes in a second: where one request is slower, several blocks side by side are faster."""
_TELLING = 4
"""Requests that tell how fast one is: on a busy machine some are slow, and rarely all."""
_MOMENT = 0.1
"""Seconds for which the others wait for these."""
_TELLS = ONE_REQUEST // 4
"""Bytes: of smaller files, most of the time is the answer's."""


class Pace:
    """That of one transfer to a store.

    Args:
        clock: seconds, as `time.monotonic`.
    """

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._room = Room()
        self._begun = itertools.count(1)
        self._told = threading.Event()
        self._seen = 0
        self._fastest = 0.0

    def block_for(self, size: int) -> int:
        """The length of the blocks in which a file goes. Asked for once for each."""
        block = block_for(size, self._store.block_size)
        if not _TELLS < size <= block or self._is_fast():
            return block
        return even_block(size, self._store.block_size)

    @contextmanager
    def sending(self, size: int, block: int) -> Iterator[None]:
        """A file of this size is sent, in blocks of that size."""
        if not _TELLS < size <= block:
            yield
            return
        with self._room.taken(size):
            begun = self._clock()
            yield
            self._fastest = max(self._fastest, size / max(self._clock() - begun, 1e-3))
            self._seen += 1
            if self._fastest >= _SLOW or self._seen >= _TELLING:
                self._told.set()

    def _is_fast(self) -> bool:
        if not self._told.is_set():
            if next(self._begun) <= _TELLING:
                return True
            self._told.wait(_MOMENT)
            self._told.set()
        return self._fastest >= _SLOW
