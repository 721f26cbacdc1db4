"""XXH3-128: about 12 GB/s on one core, where SHA-256 makes 1.4: the CPU of a pod belongs to its training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path
from typing import TypeVar

import xxhash

from ckptptr.protocol.blocks import MOST, Blocks, block_for
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.port import Block
from ckptptr.transfer.plan import UNKNOWN, Piece, pieces

B = TypeVar("B", bound=Block)

_READ = 1 << 20


class Digest:
    """Digests bytes as they pass.

    Args:
        block: also digest each block of this size; 0: only the whole.
    """

    def __init__(self, block: int = 0) -> None:
        self._state = xxhash.xxh3_128()
        self.size = 0
        self._block = block
        self._blocks: list[str] = []
        self._last = xxhash.xxh3_128()

    @classmethod
    def of_file(cls, size: int) -> Digest:
        """Of a file of `size` bytes, or `UNKNOWN`, and of its blocks where it may have several."""
        block = block_for(size)
        return cls(block if size > block or size == UNKNOWN else 0)

    def over(self, blocks: Iterable[B]) -> Iterator[B]:
        for block in blocks:
            self.add(block)
            yield block

    def add(self, block: Block) -> None:
        self._state.update(block)
        begin, self.size = self.size, self.size + len(block)
        if self._block:
            self._add_to_blocks(memoryview(block), begin)

    def hex(self) -> str:
        return self._state.hexdigest()

    def blocks(self) -> Blocks | None:
        """The digests of the blocks; None where there are less than two, or more than a manifest may have."""
        if not self._block or not self._block < self.size <= MOST * self._block:
            return None
        rest = [self._last.hexdigest()] if self.size % self._block else []
        return Blocks(self._block, (*self._blocks, *rest))

    def _add_to_blocks(self, data: memoryview, begin: int) -> None:
        while data:
            piece = data[: self._block - begin % self._block]
            self._last.update(piece)
            data, begin = data[len(piece) :], begin + len(piece)
            if begin % self._block == 0:
                self._blocks.append(self._last.hexdigest())
                self._last.reset()


def digest_of(source: Path | bytes) -> str:
    """The digest of a file on disk, or of bytes."""
    if isinstance(source, bytes):
        return xxhash.xxh3_128_hexdigest(source)
    digest = Digest()
    with open(source, "rb", buffering=0) as file:
        _read(file, digest)
    return digest.hex()


def read_again(path: str, size: int) -> Digest:
    """The digests of a file of `size` bytes on disk; of fewer where it is shorter."""
    digest = Digest.of_file(size)
    with open(path, "rb", buffering=0) as file:
        _read(file, digest, size)
    return digest


def holds(source: str | Path | bytes, record: FileRecord) -> bool:
    """Whether bytes, or the beginning of a file on disk, are what was saved.

    The first block that differs decides.
    """
    if isinstance(source, bytes):
        return digest_of(source) == record.xxh3_128
    whole = Piece(0, record.size, record.xxh3_128)
    with open(source, "rb", buffering=0) as file:
        for piece in pieces(record) if record.known_blocks else [whole]:
            digest = Digest()
            _read(file, digest, piece.length)
            if digest.hex() != piece.digest:
                return False
    return True


def _read(file: FileIO, digest: Digest, size: float = math.inf) -> None:
    """Digest the next `size` bytes of a file, or what there is."""
    buffer = memoryview(bytearray(int(min(_READ, size))))
    while digest.size < size and (count := file.readinto(buffer[: int(min(_READ, size - digest.size))])):
        digest.add(buffer[:count])
