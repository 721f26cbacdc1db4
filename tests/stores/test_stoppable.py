"""A store that is stopped sends nothing more, whatever was under way."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator

import pytest

from ckptptr.errors import NotFoundError, PreemptedError
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Store, Token
from ckptptr.stores.wrappers.stoppable import Stoppable
from ckptptr.testing import FaultyStore, StoreConformance


class TestStoppableStore(StoreConformance):
    holds_few_blocks = False

    @pytest.fixture
    def store(self) -> Store:
        return Stoppable(MemoryStore(block_size=64))

    @pytest.fixture
    def folder(self) -> str:
        return "data/run"


REQUESTS: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read("a/x"),
    "create": lambda store: store.create("a/new", b"1"),
    "replace": lambda store: store.replace("a/x", b"2", Token("1")),
    "list": lambda store: [*store.list("a")],
    "delete": lambda store: store.delete(["a/x"]),
    "upload": lambda store: store.upload("a/x", [b"1"]),
    "download": lambda store: b"".join(store.download("a/x", 0, 1)),
    "copy": lambda store: store.copy("a/x", "a/y"),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_once_stopped_no_request_is_sent(request_: Callable[[Store], object]) -> None:
    inner = FaultyStore(MemoryStore())
    store = Stoppable(inner)
    assert store.stop() == frozenset()
    with pytest.raises(PreemptedError):
        request_(store)
    assert inner.log == []


@pytest.mark.parametrize("after", [0, 1, 2])
def test_an_upload_that_is_under_way_leaves_nothing(after: int) -> None:
    memory = MemoryStore()
    store = Stoppable(memory)

    def blocks() -> Iterator[bytes]:
        for number in range(2):
            if number == after:
                store.stop()
            yield b"block"
        store.stop()

    with pytest.raises(PreemptedError):
        store.upload("a/x", blocks())
    with pytest.raises(NotFoundError):
        memory.read("a/x")


def test_a_conditional_write_that_is_under_way_is_told_since_it_may_land() -> None:
    class Telling(MemoryStore):
        def create(self, key: str, body: bytes) -> Token:
            under_way.append(store.stop())
            return super().create(key, body)

    under_way: list[frozenset[str]] = []
    store = Stoppable(Telling())
    store.create("a/LATEST", b"1")
    assert under_way == [{"a/LATEST"}]
    assert store.stop() == frozenset()


def test_a_store_is_told_how_many_blocks_there_will_be_where_that_is_known() -> None:
    class Asking(MemoryStore):
        hint = -2

        def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
            self.hint = operator.length_hint(blocks, -1)
            return super().upload(key, blocks)

    inner = Asking()
    Stoppable(inner).upload("a/x", [b"1", b"2"])
    assert inner.hint == 2
    Stoppable(inner).upload("a/x", iter(block for block in (b"1", b"2")))
    assert inner.hint == -1
