"""Blocks from the thread that makes them to the one that obstore uploads in."""

from __future__ import annotations

import threading
from collections.abc import Iterator


class Feed:
    """Blocks on their way from the caller's thread to obstore's, one at a time.

    The caller's own thread makes them: it may use obstore for that, which cannot be used inside obstore,
    and it is the one that signals interrupt. An upload whose feed closes before it is complete is aborted
    by obstore.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._block: bytes | None = None
        self._is_closed = False
        self._is_complete = False

    def give_all(self, blocks: Iterator[bytes]) -> None:
        """Hand them over, until the feed is closed."""
        for block in blocks:
            with self._changed:
                self._changed.wait_for(lambda: self._block is None or self._is_closed)
                if self._is_closed:
                    return
                self._block = block
                self._changed.notify_all()
            del block  # or it would stay in memory until the next one is made

    def close(self, *, is_complete: bool = False) -> None:
        with self._changed:
            self._is_complete |= is_complete and not self._is_closed
            self._is_closed = True
            self._changed.notify_all()

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._block is not None or self._is_closed)
            if not self._is_complete and self._is_closed:
                raise InterruptedError
            block, self._block = self._block, None
            if block is None:
                raise StopIteration
            self._changed.notify_all()
            return block
