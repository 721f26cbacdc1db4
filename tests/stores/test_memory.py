from __future__ import annotations

import pytest

from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Guarantee
from ckptptr.testing import StoreConformance


class TestMemoryStore(StoreConformance):
    holds_few_blocks = False

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore(block_size=64)

    @pytest.fixture
    def folder(self) -> str:
        return "data/run"


class TestMemoryStoreWithoutCompareAndSwap(TestMemoryStore):
    guarantee = Guarantee.LAST_WRITER_WINS
    refuses_stale_tokens = False

    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore(Guarantee.LAST_WRITER_WINS, block_size=64)


def test_a_token_never_comes_back_even_for_an_equal_body() -> None:
    store = MemoryStore()
    tokens = [store.create("a", b"1")]
    tokens.append(store.replace("a", b"2", tokens[-1]))
    tokens.append(store.replace("a", b"1", tokens[-1]))
    store.delete(["a"])
    tokens.append(store.create("a", b"1"))
    assert len(set(tokens)) == 4


def test_a_body_changed_after_the_write_does_not_change_the_object() -> None:
    store = MemoryStore()
    body = bytearray(b"1")
    store.create("a", body)  # type: ignore[arg-type]
    body[0] = 0
    assert store.read("a")[0] == b"1"
