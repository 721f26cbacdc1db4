"""The digests of a file's blocks: a part of the file is verified without the rest of it."""

from __future__ import annotations

import msgspec

BLOCK = 8 * 1024 * 1024
"""The size of a block in bytes; doubled until a file has no more than `MOST`."""
MOST = 10_000


class Blocks(msgspec.Struct, frozen=True, gc=False):
    """`size` is what each block but the last has, in bytes; `xxh3_128` the digest of each, in order."""

    size: int
    xxh3_128: tuple[str, ...]

    def fit(self, size: int) -> bool:
        """Whether these can be the blocks of a file of `size` bytes."""
        return self.size > 0 and len(self.xxh3_128) == -(-size // self.size)


def block_for(size: int) -> int:
    """The size of the blocks of a file of `size` bytes."""
    block = BLOCK
    while size > MOST * block:
        block *= 2
    return block
