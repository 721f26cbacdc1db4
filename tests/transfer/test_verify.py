from __future__ import annotations

import pytest

from ckptptr.errors import StoreUnavailableError
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.memory import MemoryStore
from ckptptr.testing import Fault, FaultyStore
from ckptptr.transfer.digest import digest_of
from ckptptr.transfer.verify import digest_flaws
from tests.memory import peak

BLOCK = 16
SIZES = [0, 1, BLOCK, BLOCK + 1, 40 * BLOCK + 3]


def saved(store: MemoryStore, *sizes: int) -> list[FileRecord]:
    """Files of these sizes in a home, and their records."""
    records = []
    for size in sizes:
        content = bytes(number % 251 for number in range(size))
        store.upload(f"home/data/{size}", [content[at : at + BLOCK] for at in range(0, size, BLOCK)])
        records.append(FileRecord(f"file-{size}", f"data/{size}", size, digest_of(content)))
    return records


def test_what_was_saved_has_no_flaw_and_every_byte_was_fetched() -> None:
    store, fetched = MemoryStore(block_size=BLOCK), []
    assert digest_flaws(store, "home", saved(store, *SIZES), fetched.append) == []
    assert sum(fetched) == sum(SIZES)


@pytest.mark.parametrize("size", [1, BLOCK + 1, 40 * BLOCK + 3])
def test_one_wrong_bit_is_found_after_a_second_look(size: int) -> None:
    store = MemoryStore(block_size=BLOCK)
    records = saved(store, *SIZES)
    faulty = FaultyStore(store, [Fault("corrupt", key=f"data/{size}$", times=1000)])
    (flaw,) = digest_flaws(faulty, "home", records)
    assert (flaw.path, flaw.key) == (f"file-{size}", f"home/data/{size}")
    assert "digest" in flaw.problem


def test_a_bit_that_was_flipped_on_the_wire_is_no_damage() -> None:
    store = MemoryStore(block_size=BLOCK)
    records = saved(store, *SIZES)
    assert digest_flaws(FaultyStore(store, [Fault("corrupt", op="download")]), "home", records) == []


@pytest.mark.parametrize("size", SIZES)
def test_what_is_gone_or_too_short_is_said(size: int) -> None:
    store = MemoryStore(block_size=BLOCK)
    records = saved(store, *SIZES)
    store.delete([f"home/data/{size}"])
    (flaw,) = digest_flaws(store, "home", records)
    assert (flaw.path, flaw.problem) == (f"file-{size}", "it is gone")
    if size:
        store.upload(f"home/data/{size}", [b""])
        (flaw,) = digest_flaws(store, "home", records)
        assert "shorter" in flaw.problem


def test_a_store_that_does_not_answer_proves_nothing() -> None:
    store = MemoryStore(block_size=BLOCK)
    records = saved(store, 1)
    with pytest.raises(StoreUnavailableError):
        digest_flaws(FaultyStore(store, [Fault(op="download")]), "home", records)


def test_a_file_without_a_digest_is_read_all_the_same() -> None:
    store, fetched = MemoryStore(block_size=BLOCK), []
    store.upload("home/plain", [b"12345"])
    assert digest_flaws(store, "home", [FileRecord("plain", "plain", 5, "")], fetched.append) == []
    assert fetched == [5]


def test_memory_is_a_few_blocks_whatever_the_size() -> None:
    block = 1 << 16
    store = MemoryStore(block_size=block)
    content = bytes(200 * block)
    store.upload("home/data/x", [content[at : at + block] for at in range(0, len(content), block)])
    record = FileRecord("x", "data/x", len(content), digest_of(content))
    flaws: list[object] = []
    assert peak(lambda: flaws.extend(digest_flaws(store, "home", [record]))) < 40 * block
    assert flaws == []
