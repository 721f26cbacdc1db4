"""A large file has a digest for each block: a part of it is verified without the rest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.errors import CkptptrError, DamagedError, StoreUnavailableError
from ckptptr.protocol.blocks import BLOCK, MOST, Blocks, block_for
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.memory import MemoryStore
from ckptptr.testing import Fault, FaultyStore
from ckptptr.transfer.digest import Digest, digest_of, holds
from ckptptr.transfer.plan import MIB, RANGE, UNKNOWN, Local, pieces
from ckptptr.transfer.reader import Member
from ckptptr.transfer.upload import upload_all
from ckptptr.transfer.verify import digest_flaws
from tests.transfer.test_download import HOME, LARGER, content, downloads, in_blocks, restore

SMALL = 32
"""Of a block, in bytes: a manifest says how large its blocks are."""
LARGE = bytes(number % 251 for number in range(5 * SMALL + 3))
TWO_AND_A_BIT = (bytes(range(251)) * (LARGER // 251 + 1))[:LARGER]
"""In blocks of a save."""


class Written:
    """What is written while it is sent, 1 MiB at a time."""

    def blocks(self) -> Iterator[bytes]:
        yield from cut(TWO_AND_A_BIT, MIB)


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore())


def sent(store: FaultyStore, content: bytes | Written, size: int) -> FileRecord:
    """A file as a save sends it: its record."""
    (record,) = upload_all(store.inner, HOME, [Local("f", content, size)], "data/x/{}".format)
    return record


def saved(store: FaultyStore, body: bytes = LARGE) -> FileRecord:
    """A file with small blocks."""
    return in_blocks(sent(store, body, len(body)), body, SMALL)


# What is digested


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


@given(st.binary(max_size=400), st.lists(st.integers(1, 90), min_size=1))
def test_the_blocks_do_not_depend_on_how_the_bytes_come(body: bytes, lengths: list[int]) -> None:
    digest, rest = Digest(SMALL), body
    for length in itertools.cycle(lengths):
        if not rest:
            break
        digest.add(rest[:length])
        rest = rest[length:]
    assert digest.hex() == xxhash.xxh3_128_hexdigest(body)
    expected = tuple(map(xxhash.xxh3_128_hexdigest, cut(body, SMALL)))
    assert digest.blocks() == (Blocks(SMALL, expected) if len(expected) > 1 else None)


@given(st.integers(0, 1 << 60))
def test_a_block_is_doubled_until_there_are_not_too_many(size: int) -> None:
    block = block_for(size)
    assert block == BLOCK or size > MOST * block // 2
    assert -(-size // block) <= MOST


@given(st.integers(1, 100 * BLOCK), st.booleans())
def test_the_pieces_of_a_file_are_all_of_it_once_and_each_has_a_digest_if_one_is_known(
    size: int, is_listed: bool
) -> None:
    count = -(-size // BLOCK)
    listed = Blocks(BLOCK, tuple(map(str, range(count)))) if is_listed else None
    found = [*pieces(FileRecord("f", "data/f", size, "whole", blocks=listed))]
    assert [piece.start for piece in found] == [*itertools.accumulate([0, *(p.length for p in found[:-1])])]
    assert found[-1].start + found[-1].length == size
    if listed:
        assert tuple(piece.digest for piece in found) == listed.xxh3_128
    else:
        assert [piece.digest for piece in found] == (["whole"] if count == 1 else [""] * -(-size // RANGE))


@pytest.mark.parametrize("content", [TWO_AND_A_BIT, Written()], ids=["it is there", "it is being written"])
def test_what_is_sent_has_the_digests_of_its_blocks(store: FaultyStore, content: bytes | Written) -> None:
    record = sent(store, content, LARGER if isinstance(content, bytes) else UNKNOWN)
    assert record.blocks == Blocks(BLOCK, tuple(map(digest_of, cut(TWO_AND_A_BIT, BLOCK))))


def test_what_was_written_and_is_larger_than_a_list_may_be_has_none() -> None:
    digest = Digest(SMALL)
    digest.add(bytes(MOST * SMALL))
    assert digest.blocks()
    digest.add(b"1")
    assert digest.blocks() is None


# Whether a file changed


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("blocks") / "file"


@given(st.binary(max_size=200), st.integers(0, 199), st.booleans())
def test_a_file_holds_what_was_saved_or_differs_somewhere(
    on_disk: Path, body: bytes, place: int, is_listed: bool
) -> None:
    record = FileRecord("f", "data/f", len(body), digest_of(body))
    record = in_blocks(record, body, SMALL) if is_listed else record
    changed = body[:place] + bytes(byte ^ 1 for byte in body[place : place + 1]) + body[place + 1 :]
    for other, is_same in (
        (body, True),
        (body + b"more", True),
        (changed, changed == body),
        (body[:-1], not body),
    ):
        on_disk.write_bytes(other)
        assert holds(on_disk, record) is is_same


def test_a_change_is_known_by_the_first_block_that_differs(
    store: FaultyStore, on_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, read = saved(store), 0
    on_disk.write_bytes(LARGE[:SMALL] + b"?" + LARGE[SMALL + 1 :])
    add = Digest.add

    def counted(self: Digest, block: bytes) -> None:
        nonlocal read
        read += len(block)
        add(self, block)

    monkeypatch.setattr(Digest, "add", counted)
    assert not holds(on_disk, record)
    assert read == 2 * SMALL


# Restore


def test_what_arrived_is_not_read_again(
    store: FaultyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = saved(store)
    monkeypatch.delattr("ckptptr.transfer.download.read_again")
    assert restore(store, tmp_path, [record]) == [record]
    assert content(tmp_path) == {"f": LARGE}


@pytest.mark.parametrize("nth", range(1, 7))
def test_only_the_block_that_is_bad_is_fetched_again(store: FaultyStore, tmp_path: Path, nth: int) -> None:
    record = saved(store)
    store = FaultyStore(store.inner, [Fault("corrupt", op="download", nth=nth)])
    restore(store, tmp_path, [record])
    assert content(tmp_path) == {"f": LARGE}
    assert len(downloads(store)) == 6 + 1


def test_a_block_that_is_larger_than_a_request_comes_in_several(store: FaultyStore, tmp_path: Path) -> None:
    record = sent(store, TWO_AND_A_BIT, LARGER)
    restore(store, tmp_path, [in_blocks(record, TWO_AND_A_BIT, 2 * RANGE)])
    assert len(downloads(store)) == 2 + 1
    assert content(tmp_path) == {"f": TWO_AND_A_BIT}


def test_a_block_that_is_bad_twice_is_damage_and_the_rest_is_left(store: FaultyStore, tmp_path: Path) -> None:
    record = saved(store)
    key = f"{HOME}/{record.object}"
    store.inner.replace(key, b"?" + LARGE[1:], store.inner.read(key)[1])
    with pytest.raises(DamagedError, match="'f' does not have the digest"):
        restore(store, tmp_path, [record])
    assert content(tmp_path) == {}


def test_a_large_file_that_an_older_version_saved_is_verified_as_a_whole_and_gets_blocks(
    store: FaultyStore, tmp_path: Path
) -> None:
    record = sent(store, TWO_AND_A_BIT, LARGER)
    store = FaultyStore(store.inner, [Fault("corrupt", op="download")])
    older = msgspec.structs.replace(record, blocks=None)
    assert restore(store, tmp_path, [older]) == [record]
    assert content(tmp_path) == {"f": TWO_AND_A_BIT}
    assert len(downloads(store)) == 2 * 3
    plain = msgspec.structs.replace(older, xxh3_128="")
    assert restore(FaultyStore(store.inner), tmp_path / "plain", [plain]) == [record]


# Partial reads


def test_a_bit_that_was_flipped_on_the_wire_is_no_damage_for_a_reader(store: FaultyStore) -> None:
    record = saved(store)
    store = FaultyStore(store.inner, [Fault("corrupt", op="download")])
    with Member(store, f"{HOME}/{record.object}", record) as file:
        file.seek(SMALL + 5)
        assert file.read(10) == LARGE[SMALL + 5 : SMALL + 15]
        assert file.is_verified
    assert len(downloads(store)) == 2


def test_a_reader_gets_no_byte_of_a_bad_block_and_all_of_a_good_one(store: FaultyStore) -> None:
    record = saved(store)
    key = f"{HOME}/{record.object}"
    store.inner.replace(key, LARGE[:-1] + b"?", store.inner.read(key)[1])
    with Member(store, key, record) as file:
        assert file.read(SMALL) == LARGE[:SMALL]
        file.seek(5 * SMALL)
        with pytest.raises(DamagedError, match="digest"):
            file.read(1)


@pytest.mark.parametrize("error", [StoreUnavailableError("an outage"), DamagedError("cut short")])
def test_a_reader_asks_the_store_again_after_an_error(store: FaultyStore, error: CkptptrError) -> None:
    record = saved(store)
    store = FaultyStore(store.inner, [Fault(op="download", error=error)])
    with Member(store, f"{HOME}/{record.object}", record) as file:
        with pytest.raises(type(error)):
            file.read(1)
        assert file.read(SMALL) == LARGE[:SMALL]


def test_verify_fetches_only_a_bad_block_again_and_names_the_file(store: FaultyStore) -> None:
    record = saved(store)
    once = FaultyStore(store.inner, [Fault("corrupt", op="download")])
    assert digest_flaws(once, HOME, [record]) == []
    assert len(downloads(once)) == 6 + 1
    key = f"{HOME}/{record.object}"
    store.inner.replace(key, LARGE[:-1] + b"?", store.inner.read(key)[1])
    for saved_so in (record, msgspec.structs.replace(record, blocks=None)):
        (flaw,) = digest_flaws(store, HOME, [saved_so])
        assert (flaw.path, flaw.problem) == ("f", "it does not have the digest that it was saved with")
