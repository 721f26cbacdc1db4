"""A file that is uploaded while it is written: no local copy, and a few blocks of memory at any size."""

from __future__ import annotations

import io
import queue
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ckptptr.errors import ConflictError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_BLOCKS = 2
"""How many blocks may wait for the upload, which holds some more itself."""

_LOOK_UP = 0.1
"""How often, in seconds, a writer that waits for room looks whether the upload still lives."""


class AbandonedError(Exception):
    """The writer gave up: the upload must not complete."""


class Stream(io.RawIOBase):
    """The writer's side is a file; the upload's side are `blocks`.

    Args:
        block_size: in bytes; of every block but the last.
    """

    def __init__(self, name: str, block_size: int) -> None:
        super().__init__()
        self.name = name
        self._block_size = block_size
        self._pieces: list[bytes] = []
        self._gathered = 0
        self._written = 0
        self._queue: queue.Queue[bytes | None] = queue.Queue(_BLOCKS)
        self._is_abandoned = False
        self._is_read = False
        self._failure: BaseException | None = None

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: ReadableBuffer) -> int:
        """Take all of `data`.

        Raises: what the upload failed with.
        """
        view = memoryview(data).cast("B")
        for start in range(0, len(view), self._block_size):
            piece = bytes(view[start : start + self._block_size])
            self._pieces.append(piece)
            self._gathered += len(piece)
            while self._gathered >= self._block_size:
                self._send(self._next_block())
        self._written += len(view)
        return len(view)

    def finish(self) -> None:
        """Send the rest: the file is complete."""
        if self._gathered:
            self._send(b"".join(self._pieces))
        self._send(None)
        self.close()

    def abandon(self) -> None:
        """Abort: discard the buffer, and end the upload with `AbandonedError`."""
        self._is_abandoned = True
        while self._failure is None:  # else nothing reads it; and in a fork its lock may never be free
            try:
                self._queue.put_nowait(None)
                break
            except queue.Full:
                self._drop_one()
        self.close()

    def upload_ended(self, upload: Future[Any]) -> None:
        """The upload is over: let the writer know."""
        self._failure = upload.exception()

    def blocks(self) -> Iterator[bytes]:
        """What is written, as it comes.

        Raises:
            AbandonedError: the writer gave up.
            ConflictError: it was all read before.
        """
        if self._is_read:
            raise ConflictError(
                "a sweep deleted what was written to a stream, and a stream cannot be sent again",
                key=self.name,
                hint="Write it again",
            )
        self._is_read = True
        while (block := self._queue.get()) is not None:
            yield block
        if self._is_abandoned:
            raise AbandonedError(self.name)

    def _next_block(self) -> bytes:
        whole = b"".join(self._pieces)
        block, rest = whole[: self._block_size], whole[self._block_size :]
        self._pieces, self._gathered = [rest] if rest else [], len(rest)
        return block

    def _send(self, block: bytes | None) -> None:
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                self._queue.put(block, timeout=_LOOK_UP)
            except queue.Full:
                continue
            return

    def _drop_one(self) -> None:
        with suppress(queue.Empty):
            self._queue.get_nowait()
