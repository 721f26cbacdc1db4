from __future__ import annotations

import pytest

from ckptptr.errors import NotFoundError, StoreUnavailableError
from ckptptr.stores.memory import MemoryStore
from ckptptr.testing import Fault, FaultyStore
from ckptptr.transfer.copy import CancelledError, copy_all

PAIRS = [(f"old/{number}", f"new/{number}") for number in range(40)]


@pytest.fixture
def store() -> FaultyStore:
    memory = MemoryStore()
    for source, _ in PAIRS:
        memory.create(source, source.encode())
    return FaultyStore(memory)


def copied(store: FaultyStore) -> list[str]:
    return [entry.key for entry in store.inner.list("new")]


def test_objects_are_copied_inside_the_store(store: FaultyStore) -> None:
    copy_all(store, PAIRS)
    assert {key: store.inner.read(key)[0].decode() for key in copied(store)} == {n: o for o, n in PAIRS}
    assert {request.op for request in store.log} == {"copy"}


def test_nothing_to_copy_asks_nothing(store: FaultyStore) -> None:
    copy_all(store, [])
    assert store.log == []


def test_a_copy_that_is_not_wanted_any_more_stops_between_two_objects(store: FaultyStore) -> None:
    with pytest.raises(CancelledError):
        copy_all(store, PAIRS, is_cancelled=lambda: len(store.log) >= 5)
    assert 5 <= len(copied(store)) < len(PAIRS)


def test_a_copy_that_was_cancelled_before_copies_nothing(store: FaultyStore) -> None:
    with pytest.raises(CancelledError):
        copy_all(store, PAIRS[:1], is_cancelled=lambda: True)
    assert store.log == []


def test_a_source_that_is_gone_is_named(store: FaultyStore) -> None:
    store.inner.delete(["old/3"])
    with pytest.raises(NotFoundError, match="memory://old/3"):
        copy_all(store, PAIRS)


def test_a_store_that_fails_ends_the_copy(store: FaultyStore) -> None:
    failing = FaultyStore(store.inner, [Fault(op="copy", nth=3, times=1000)])
    with pytest.raises(StoreUnavailableError):
        copy_all(failing, PAIRS)
    assert len(failing.log) < len(PAIRS)
