"""How blocks get from the thread that makes them to those of obstore."""

from __future__ import annotations

import threading


class Feed:
    """Blocks on their way from the caller's thread to obstore's, one at a time.

    The caller's own thread makes them: it may use obstore for that, which cannot be used inside obstore,
    and it is the one that signals interrupt. An upload whose feed closes before it is complete is aborted
    by obstore.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._block: bytes | None = None
        self._is_complete = False
        self.is_closed = False

    def is_free(self, seconds: float) -> bool:
        """Wait that long at most until the last block was taken or the feed is closed; whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._block is None or self.is_closed, seconds)

    def give(self, block: bytes) -> None:
        """The next block, where the feed is free."""
        with self._changed:
            self._block = block
            self._changed.notify_all()

    def close(self, *, is_complete: bool = False) -> None:
        with self._changed:
            self._is_complete |= is_complete and not self.is_closed
            self.is_closed = True
            self._changed.notify_all()

    def __iter__(self) -> Feed:
        return self

    def __next__(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._block is not None or self.is_closed)
            if not self._is_complete and self.is_closed:
                raise InterruptedError
            block, self._block = self._block, None
            if block is None:
                raise StopIteration
            self._changed.notify_all()
            return block
