"""XXH3-128: about 12 GB/s on one core, where SHA-256 makes 1.4: the CPU of a pod belongs to its training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import xxhash

from ckptptr.stores.port import Block

Piece = TypeVar("Piece", bound=Block)

_READ = 1 << 20


class Digest:
    """Digests blocks as they pass."""

    def __init__(self) -> None:
        self._state = xxhash.xxh3_128()
        self.size = 0

    def over(self, blocks: Iterable[Piece]) -> Iterator[Piece]:
        for block in blocks:
            self.add(block)
            yield block

    def add(self, block: Block) -> None:
        self._state.update(block)
        self.size += len(block)

    def hex(self) -> str:
        return self._state.hexdigest()


def digest_of(source: Path | bytes, size: int | None = None) -> str:
    """The digest of a file on disk, or of bytes.

    Args:
        size: of how many bytes of the file, from its beginning; not given: of all.
    """
    if isinstance(source, bytes):
        return xxhash.xxh3_128_hexdigest(source)
    digest = Digest()
    with source.open("rb", buffering=0) as file:
        while data := file.read(_READ if size is None else min(_READ, size - digest.size)):
            digest.add(data)
    return digest.hex()
