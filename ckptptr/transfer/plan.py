"""What there is to move: local files with a name, byte ranges of objects, and the pieces of a saved file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from ckptptr.protocol.manifest import FileRecord

MIB = 1 << 20

RANGE = 8 * MIB
"""The most that one request for payload asks for."""

ONE_REQUEST = 16 * MIB
"""Files of four blocks, but no more than this, are sent in one request each, several at a time."""

_STEP = 256 * 1024
"""What a resumable upload of Google Cloud Storage counts in."""

MAX_PARTS = 9_000
"""Fewer than any store takes of one object (S3: 10,000)."""


class Streamed(Protocol):
    """A file that is written while it is sent."""

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, in blocks of the store's size; can be asked for once."""


UNKNOWN = -1
"""The size of a file that is written while it is sent."""


@dataclass(frozen=True, slots=True)
class Local:
    """A file to upload: on disk, in memory, or written while it is sent.

    `path` is its name in the checkpoint; `source`, of a file on disk, its path, as a string, since there may
    be a million of them; `size` what it has when it is looked at, in bytes; `mode` its permission bits where
    they are not 0o644; `mtime_ns` when it was last changed, in nanoseconds since 1970; `top` the folder that
    it was found in, None for a file that the caller named; `inode` its number on the disk, 0 where it does
    not matter.
    """

    path: str
    source: str | bytes | Streamed
    size: int
    mode: int | None = None
    mtime_ns: int | None = field(default=None, compare=False)
    top: Path | None = field(default=None, compare=False)
    inode: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Range:
    """`length` bytes from offset `start`."""

    start: int
    length: int


def ranges(size: int, block: int) -> Iterator[Range]:
    """The ranges that make up an object of `size` bytes, each but the last `block` long."""
    for start in range(0, size, block):
        yield Range(start, min(block, size - start))


class Piece(NamedTuple):
    """`length` bytes from offset `start`; their digest, empty where it is not known."""

    start: int
    length: int
    digest: str


def pieces(record: FileRecord) -> Iterator[Piece]:
    """The pieces of a file, in order: its blocks, or without their digests what one request asks for.

    An empty file has one.
    """
    blocks = record.known_blocks
    if not record.size:
        yield Piece(0, 0, record.xxh3_128)
    elif blocks is None:
        yield from (Piece(part.start, part.length, "") for part in ranges(record.size, RANGE))
    else:
        parts = ranges(record.size, blocks.size)
        yield from (Piece(p.start, p.length, d) for p, d in zip(parts, blocks.xxh3_128, strict=True))


def block_for(size: int, block: int) -> int:
    """The length of the blocks in which to send a file of `size` bytes to a store that likes `block`.

    A file that fits into one request is one block, and so is one of four blocks; an enormous one gets larger
    blocks, and so does one of `UNKNOWN` size, so that no store's limit of parts is met.
    """
    if size == UNKNOWN:
        return max(block, min(RANGE, 2 * block))
    if size <= min(4 * block, ONE_REQUEST):
        return max(block, size)
    needed = -(-size // MAX_PARTS)
    return block if needed <= block else -(-needed // MIB) * MIB


def even_block(size: int, block: int) -> int:
    """The same for a file of a few blocks that are all as long: no small one is left over."""
    count = max(1, size // block)
    return -(-size // count // _STEP) * _STEP if count > 1 else size
