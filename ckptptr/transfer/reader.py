"""One file of a checkpoint, read from the store as it is needed: no local copy, only the bytes asked for.

The file is fetched in its blocks, each verified before a byte of it is handed on. A reader that goes on from
one to the next gets the following ones ahead, in parallel; one that jumps, as `torch.load` and safetensors
do, gets just the blocks that it asks for.

Where a manifest has no digests of blocks, the digest of the whole is checked when the file was read from its
beginning to its end, and a file that is closed before says in the log that it was not.
"""

from __future__ import annotations

import io
import logging
from concurrent.futures import Future
from typing import TYPE_CHECKING

from ckptptr.errors import DamagedError
from ckptptr.lifetime import daemon
from ckptptr.lifetime.forks import renew_in_child
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.port import Block, Store
from ckptptr.transfer.digest import Digest
from ckptptr.transfer.fetch import fetch
from ckptptr.transfer.plan import MIB, pieces

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

log = logging.getLogger("ckptptr")

AHEAD = 32 * MIB


class Member(io.RawIOBase):
    """A file of a checkpoint, seekable and read-only; see `Checkpoints.open`.

    Args:
        key: of its object.
        ahead: how many bytes are fetched ahead of a reader that reads on; one block at least.
    """

    def __init__(self, store: Store, key: str, record: FileRecord, ahead: int = AHEAD) -> None:
        super().__init__()
        self.name = record.path
        self._url = store.url(key)
        self._record = record
        self._is_by_block = record.known_blocks is not None
        self._chunks = _Chunks(store, key, record, ahead)
        self._position = 0
        self._digest = Digest()

    @property
    def is_verified(self) -> bool:
        """Whether what was read is what was saved. Without digests of blocks: whether all of it was read, in
        order, and is."""
        is_all = self._digest.size == self._record.size and bool(self._record.xxh3_128)
        return self._is_by_block or is_all

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
        """Fill the buffer as far as one block goes.

        Raises:
            DamagedError: it is not what was saved; without digests of blocks, when this was the last of it.
            NotFoundError: the checkpoint was deleted meanwhile.
            StoreUnavailableError: the store did not answer; the next call asks it again.
        """
        target = memoryview(buffer).cast("B")
        if self._position >= self._record.size or not target:
            return 0
        chunk, offset = divmod(self._position, self._chunks.size)
        piece = self._chunks.get(chunk)[offset : offset + len(target)]
        target[: len(piece)] = piece
        if not self._is_by_block:
            self._count_in(piece)
        self._position += len(piece)
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._chunks.close()
            if self._record.size and not self.is_verified:
                log.info("not all of %s was read in order: its digest was not checked", self._url)
        super().close()

    def _count_in(self, piece: memoryview) -> None:
        """Digest what comes next in order; a second reading of the same bytes adds nothing."""
        if self._position <= self._digest.size:
            self._digest.add(piece[self._digest.size - self._position :])
            is_all = self._digest.size == self._record.size
            if is_all and self._digest.hex() != self._record.xxh3_128 != "":
                raise damaged(self._url)


def damaged(url: str) -> DamagedError:
    return DamagedError(
        "the file does not have the digest that it was saved with",
        key=url,
        hint="Restore: that falls back to the next good checkpoint",
    )


class _Chunks:
    """The pieces of one object: the one in use, and those ahead where it is read on."""

    def __init__(self, store: Store, key: str, record: FileRecord, ahead: int) -> None:
        self._store = store
        self._key = key
        self._pieces = [*pieces(record)]
        self.size = self._pieces[0].length or 1
        """Of each but the last, in bytes."""
        self._ahead = max(1, ahead // self.size)
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Forget what was fetched: in a fork what comes ahead is the parent's."""
        self._wanted = range(0)
        self._fetched: dict[int, Future[memoryview]] = {}
        self._last = -2

    def get(self, chunk: int) -> memoryview:
        ahead = self._ahead if chunk == self._last + 1 else 0
        if chunk != self._last:
            self._wanted = range(chunk, min(chunk + ahead + 1, len(self._pieces)))
            before = self._fetched
            self._fetched = {number: before.get(number) or self._fetch(number) for number in self._wanted}
            self._last = chunk
        try:
            return self._fetched[chunk].result()
        except Exception:
            self.renew()  # the next read asks the store again
            raise

    def close(self) -> None:
        self.renew()

    def _fetch(self, chunk: int) -> Future[memoryview]:
        return daemon.start(lambda: self._good(chunk))

    def _good(self, chunk: int) -> memoryview:
        """The bytes of a piece. Raises as `Member.readinto`, and where the reader has gone elsewhere."""
        piece = self._pieces[chunk]
        content = memoryview(bytearray(piece.length))

        def take(offset: int, block: Block) -> None:
            if chunk not in self._wanted:
                raise InterruptedError
            start = offset - piece.start
            content[start : start + len(block)] = block

        if not fetch(self._store, self._key, piece, take):
            raise damaged(self._store.url(self._key))
        return content
