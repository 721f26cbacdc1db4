from __future__ import annotations

import random
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.transfer.digest import Digest, digest_of
from ckptptr.transfer.plan import MIB


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_a_digest_does_not_depend_on_how_the_bytes_are_cut(blocks: list[bytes]) -> None:
    passing = Digest()
    assert [*passing.over(blocks)] == blocks
    whole = b"".join(blocks)
    assert passing.hex() == digest_of(whole) == xxhash.xxh3_128_hexdigest(whole)
    assert passing.size == len(whole)


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB + MIB // 2])
def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path, size: int) -> None:
    content = random.Random(size).randbytes(size)
    (tmp_path / "file").write_bytes(content)
    assert digest_of(tmp_path / "file") == digest_of(content)


def test_the_digest_of_nothing_is_the_one_that_manifests_carry() -> None:
    assert digest_of(b"") == "99aa06d3014798d86001c324468d497f"
