"""The records of sets and parts, and the manifest that parts make."""

from __future__ import annotations

import json
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.errors import ConflictError, DamagedError
from ckptptr.protocol.manifest import FileRecord, Manifest
from ckptptr.protocol.names import CheckpointId, round_and_nonce, set_key
from ckptptr.protocol.parts import Named, Part, assemble, missing, nonce_of, part_key, rank_of
from ckptptr.protocol.sealed import seal

NAMED = Named(
    id="0000000003-a0001-0123456789abcdef",
    step=7,
    world_size=3,
    created_at="2026-11-28T00:00:00Z",
    created_by="me",
)


def record(path: str, digest: str = "d") -> FileRecord:
    return FileRecord(path, f"data/{NAMED.id}/{path}", 1, digest)


@st.composite
def parts(draw: st.DrawFn) -> list[Part]:
    """The parts of a few ranks; no file is a folder of another one."""
    ranks = draw(st.lists(st.sets(st.sampled_from("abcdef")), min_size=1, max_size=4))
    metadata = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3), max_size=3)
    return [
        Part(rank=rank, files=tuple(map(record, sorted(paths))), folders=("empty",), metadata=draw(metadata))
        for rank, paths in enumerate(ranks)
    ]


@given(parts(), st.randoms())
def test_the_manifest_is_the_same_in_whatever_order_the_parts_are_read(
    all_parts: list[Part], chance: random.Random
) -> None:
    body = assemble(NAMED, all_parts).encode()
    shuffled = [*all_parts]
    chance.shuffle(shuffled)
    assert assemble(NAMED, shuffled).encode() == body
    manifest = Manifest.decode(body, NAMED.checkpoint_id, "url")
    assert {r.path for r in manifest.files} == {r.path for part in all_parts for r in part.files}
    for key, value in manifest.metadata.items():
        assert value == next(part.metadata[key] for part in all_parts if key in part.metadata)


@given(parts())
def test_a_record_is_read_as_it_was_written_and_not_when_a_byte_is_missing(all_parts: list[Part]) -> None:
    for each in (NAMED, *all_parts):
        body = each.encode()
        read = type(each).decode(body, "url")
        assert (read.encode(), read) == (body, read)
        with pytest.raises(DamagedError):
            type(each).decode(body[:-3], "url")


def test_a_record_that_names_no_checkpoint_is_damaged() -> None:
    document = {**json.loads(NAMED.encode()), "id": "x"}
    with pytest.raises(DamagedError, match="the id is 'x'"):
        Named.decode(msgspec.json.encode(seal(document)), "url")


@given(st.integers(0, 50), st.integers(1, 50), st.integers())
def test_the_key_of_a_part_says_its_rank_and_its_set(rank: int, world_size: int, step: int) -> None:
    nonce = nonce_of("r1", step, world_size)
    key = part_key("b/home", "r1", nonce, rank, world_size)
    assert rank_of(key, world_size) == (rank if rank < world_size else None)
    assert rank_of(key, world_size + 1) is None
    assert (
        round_and_nonce("b/home", key)
        == round_and_nonce("b/home", set_key("b/home", "r1", nonce))
        == ("r1", nonce)
    )
    assert CheckpointId.match(f"0000000001-a0000-{nonce}")


@given(st.sets(st.integers(0, 9)), st.integers(1, 10))
def test_missing_are_the_ranks_without_a_record(there: set[int], world_size: int) -> None:
    keys = [part_key("h", "r", "n", rank, world_size) for rank in there]
    assert missing(keys, world_size) == [rank for rank in range(world_size) if rank not in there]


def test_different_files_under_one_path_are_refused() -> None:
    one, other = (Part(rank=rank, files=(record("a", digest),)) for rank, digest in enumerate("xy"))
    with pytest.raises(ConflictError, match="ranks 0 and 1"):
        assemble(NAMED, [one, other])
