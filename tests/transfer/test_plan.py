from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.transfer.plan import UNKNOWN, Range, block_for, even_block, ranges

# Ranges


@given(st.integers(0, 2000), st.integers(1, 300))
def test_ranges_cover_every_byte_once_and_in_order(size: int, block: int) -> None:
    parts = [*ranges(size, block)]
    assert [byte for part in parts for byte in range(part.start, part.start + part.length)] == [*range(size)]
    assert all(part.length == block for part in parts[:-1])


def test_nothing_has_no_ranges_and_a_whole_block_has_one() -> None:
    assert [*ranges(0, 8)] == []
    assert [*ranges(8, 8)] == [Range(0, 8)]


# Blocks

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "store_likes", "block"),
    [
        (0, 8 * MIB, 8 * MIB),
        (9 * MIB, 8 * MIB, 9 * MIB),  # two blocks are one request
        (16 * MIB, 8 * MIB, 16 * MIB),
        (16 * MIB + 1, 8 * MIB, 8 * MIB),
        (12 * MIB, 5 * MIB, 12 * MIB),  # nor three
        (17 * MIB, 5 * MIB, 5 * MIB),
        (UNKNOWN, 5 * MIB, 8 * MIB),
        (UNKNOWN, 16 * MIB, 16 * MIB),
        (17 * MIB, 16 * MIB, 16 * MIB),  # but never a larger one than this
        (70 << 30, 8 * MIB, 8 * MIB),
        (1 << 40, 8 * MIB, 117 * MIB),
        (5 << 40, 16 * MIB, 583 * MIB),
    ],
)
def test_blocks_are_as_the_store_likes_them_unless_they_were_too_many(
    size: int, store_likes: int, block: int
) -> None:
    assert block_for(size, store_likes) == block
    assert -(-size // block) <= 10_000


@given(st.integers(1, 40 * MIB), st.sampled_from([5 * MIB, 8 * MIB, 16 * MIB]))
def test_even_blocks_are_not_shorter_than_the_store_likes_and_none_is_left_over(
    size: int, likes: int
) -> None:
    block = even_block(size, likes)
    assert block >= min(size, likes)
    assert -(-size // block) == max(1, size // likes)
    assert block == size or block % (256 * 1024) == 0
