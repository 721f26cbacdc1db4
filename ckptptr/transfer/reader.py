"""One file of a checkpoint, read from the store as it is needed: no local copy, only the bytes asked for.

The file is fetched in chunks. A reader that goes on from one to the next gets the following ones
ahead, in parallel; one that jumps, as `torch.load` and safetensors do, gets just what it asks for.

A digest is over the whole: it is checked when the file was read from its beginning to its end,
and a file that is closed before says in the log that it was not.
"""

from __future__ import annotations

import io
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import xxhash

from ckptptr.errors import DamagedError
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.port import Store

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

log = logging.getLogger("ckptptr")

CHUNK = 4 * 1024 * 1024
AHEAD = 8
"""How many chunks are fetched ahead of a reader that reads on: 32 MiB."""


class Member(io.RawIOBase):
    """A file of a checkpoint, seekable and read-only; see `Checkpoints.open`.

    Args:
        key: of its object.
    """

    def __init__(self, store: Store, key: str, record: FileRecord) -> None:
        super().__init__()
        self.name = record.path
        self._url = store.url(key)
        self._record = record
        self._chunks = _Chunks(store, key, record.size)
        self._position = 0
        self._digest = xxhash.xxh3_128()
        self._digested = 0

    @property
    def is_verified(self) -> bool:
        """Whether all of it was read, in order, and is what was saved."""
        return self._digested == self._record.size and bool(self._record.xxh3_128)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._record.size}[whence]
        if start + offset < 0:
            raise ValueError(f"cannot seek to {start + offset}, before the file begins")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer as far as one chunk goes.

        Raises:
            DamagedError: this was the last of it, and it is not what was saved.
            NotFoundError: the checkpoint was deleted meanwhile.
            StoreUnavailableError: the store did not answer.
        """
        target = memoryview(buffer).cast("B")
        chunk, offset = divmod(self._position, CHUNK)
        if self._position >= self._record.size or not target:
            return 0
        piece = self._chunks.get(chunk)[offset : offset + len(target)]
        target[: len(piece)] = piece
        self._count_in(piece)
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._chunks.close()
            if self._record.size and not self.is_verified:
                log.info("not all of %s was read in order: its digest was not checked", self._url)
        super().close()

    def _count_in(self, piece: bytes) -> None:
        """Digest what comes next in order; a second reading of the same bytes adds nothing."""
        news = piece[self._digested - self._position :] if self._position <= self._digested else b""
        if not news:
            return
        self._digest.update(news)
        self._digested += len(news)
        if self._digested == self._record.size and self._digest.hexdigest() != self._record.xxh3_128 != "":
            raise DamagedError(
                "the file does not have the digest that it was saved with",
                key=self._url,
                hint="Restore: that falls back to the next good checkpoint",
            )


class _Chunks:
    """The chunks of one object: the one in use, and those ahead where it is read on."""

    def __init__(self, store: Store, key: str, size: int) -> None:
        self._store = store
        self._key = key
        self._size = size
        self._pool = ThreadPoolExecutor(AHEAD, thread_name_prefix="ckptptr-reading")
        self._fetched: dict[int, Future[bytes]] = {}
        self._last = -2

    def get(self, chunk: int) -> bytes:
        ahead = AHEAD if chunk == self._last + 1 else 0
        if chunk != self._last:
            last_chunk = (self._size - 1) // CHUNK
            wanted = range(chunk, min(chunk + ahead, last_chunk) + 1)
            before = self._fetched
            self._fetched = {number: before.get(number) or self._fetch(number) for number in wanted}
            for number in before.keys() - self._fetched.keys():
                before[number].cancel()
            self._last = chunk
        return self._fetched[chunk].result()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._fetched.clear()

    def _fetch(self, chunk: int) -> Future[bytes]:
        start = chunk * CHUNK
        length = min(CHUNK, self._size - start)
        return self._pool.submit(lambda: b"".join(self._store.download(self._key, start, length)))
