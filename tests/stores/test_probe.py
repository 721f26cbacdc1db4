"""A server is tested for conditional writes, and found out when it does not support them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Literal

import pytest

from ckptptr.clock import SystemClock
from ckptptr.errors import (
    AccessDeniedError,
    ConflictError,
    InvalidArgumentError,
    StoreUnavailableError,
)
from ckptptr.settings import GUARANTEE
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Guarantee, Store, Token, UnsupportedError
from ckptptr.stores.wrappers.last_writer import LastWriterWins
from ckptptr.stores.wrappers.probe import probe, with_known_guarantee
from ckptptr.testing import StoreConformance
from ckptptr.testing.faults import Fault, FaultyStore, Op


class Unproven(MemoryStore):
    """Honest, but nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.guarantee = Guarantee.UNPROVEN


class IgnoresIfMatch(Unproven):
    def replace(self, key: str, body: bytes, token: Token) -> Token:
        del token
        return self.replace_unconditionally(key, body)

    def replace_unconditionally(self, key: str, body: bytes) -> Token:
        self.delete([key])
        return super().create(key, body)


class IgnoresEverything(IgnoresIfMatch):
    def create(self, key: str, body: bytes) -> Token:
        return self.replace_unconditionally(key, body)


class RefusesEveryToken(Unproven):
    """As old Ceph, which wants its ETags unquoted."""

    def replace(self, key: str, *_: object) -> Token:
        raise ConflictError("precondition failed", key=key)


class TakesNoConditions(Unproven):
    """Any conditional write is refused, in some way."""

    def create(self, key: str, *_: object) -> Token:
        raise UnsupportedError("not implemented", key=key)

    replace = create

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        self.delete([key])
        MemoryStore.create(self, key, b"".join(blocks))
        return True


class CreatesOnly(TakesNoConditions):
    """As Amazon's in the autumn of 2024: `If-None-Match` was known, and `If-Match` not implemented."""

    create = MemoryStore.create


class TakesNothing(TakesNoConditions):
    def upload(self, key: str, _: object) -> bool:
        raise UnsupportedError("read-only", key=key)


def test_an_honest_server_is_trusted_after_four_requests_and_a_delete() -> None:
    store = FaultyStore(Unproven())
    assert with_known_guarantee(store, "b/node", SystemClock(), {}) is store
    assert [request.op for request in store.log] == ["create", "create", "replace", "replace", "delete"]
    assert list(store.list("b")) == []


@pytest.mark.parametrize(
    "liar", [IgnoresIfMatch, IgnoresEverything, RefusesEveryToken, TakesNoConditions, CreatesOnly]
)
def test_a_server_that_lies_is_found_out_and_said_so_once(
    liar: Callable[[], Store], caplog: pytest.LogCaptureFixture
) -> None:
    store = liar()
    with caplog.at_level(logging.WARNING, logger="ckptptr"):
        settled = with_known_guarantee(store, "b/node", SystemClock(), {})
    assert isinstance(settled, LastWriterWins)
    assert settled.guarantee is Guarantee.LAST_WRITER_WINS
    assert len(caplog.records) == 1
    assert list(store.list("b")) == []


@pytest.mark.parametrize("nth", range(1, 5))
def test_a_server_that_does_not_answer_is_neither_trusted_nor_distrusted(nth: int) -> None:
    store = FaultyStore(Unproven(), [Fault(nth=nth)])
    with pytest.raises(StoreUnavailableError):
        probe(store, "b/probe")


def test_a_probe_that_cannot_be_tidied_up_has_its_verdict_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = FaultyStore(Unproven(), [Fault(op="delete", error=AccessDeniedError("no s3:DeleteObject"))])
    assert probe(store, "b/probe") is Guarantee.COMPARE_AND_SWAP
    assert "the object of the probe could not be deleted: memory://b/probe" in caplog.text


@pytest.mark.parametrize("op", ["create", "replace"])
def test_a_lost_reply_does_not_make_an_honest_server_a_liar(op: Op) -> None:
    lost = Fault(when="after", op=op, error=ConflictError("the client's own retry met its first try"))
    assert probe(FaultyStore(Unproven(), [lost]), "b/probe") is Guarantee.COMPARE_AND_SWAP


@pytest.mark.parametrize("op", ["create", "replace"])
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_refusal_of_the_kind_of_request_counts_only_if_it_is_repeated(
    op: Op, nth: int, when: Literal["before", "after"]
) -> None:
    page = Fault(op=op, nth=nth, when=when, error=UnsupportedError("a page of a gateway (405)"))
    assert probe(FaultyStore(Unproven(), [page]), "b/probe") is Guarantee.COMPARE_AND_SWAP


def test_a_server_that_takes_no_write_at_all_is_not_taken_for_one_without_conditions() -> None:
    with pytest.raises(StoreUnavailableError, match="read-only"):
        probe(TakesNothing(), "b/probe")


def test_a_known_store_is_not_asked() -> None:
    store = FaultyStore(MemoryStore())
    assert with_known_guarantee(store, "b/node", SystemClock(), {}) is store
    assert store.log == []


@pytest.mark.parametrize(("setting", "wrapped"), [("compare-and-swap", False), ("last-writer-wins", True)])
def test_the_setting_decides_and_nothing_is_asked(setting: str, wrapped: bool) -> None:
    store = FaultyStore(Unproven())
    settled = with_known_guarantee(store, "b/node", SystemClock(), {GUARANTEE.name: setting})
    assert isinstance(settled, LastWriterWins) is wrapped
    assert store.log == []


@pytest.mark.parametrize("setting", ["yes", "unproven"])
def test_a_setting_that_names_no_guarantee_is_refused(setting: str) -> None:
    with pytest.raises(InvalidArgumentError, match=GUARANTEE.name):
        with_known_guarantee(Unproven(), "b/node", SystemClock(), {GUARANTEE.name: setting})


class TestLastWriterWins(StoreConformance):
    """But for races it keeps every other promise, on a server that ignores all conditions."""

    guarantee = Guarantee.LAST_WRITER_WINS
    holds_few_blocks = False

    @pytest.fixture
    def store(self) -> Store:
        return LastWriterWins(IgnoresEverything())

    @pytest.fixture
    def folder(self) -> str:
        return "b/folder"


def test_a_stale_token_is_noticed_before_it_is_written_over() -> None:
    store = LastWriterWins(IgnoresEverything())
    first = store.create("b/x", b"1")
    store.replace("b/x", b"2", first)
    with pytest.raises(ConflictError):
        store.replace("b/x", b"3", first)
    assert store.read("b/x")[0] == b"2"


def test_a_writer_that_comes_between_write_and_read_back_is_noticed() -> None:
    inner = IgnoresEverything()

    class Overtaken(IgnoresEverything):
        def upload(self, key: str, _: object) -> None:
            inner.upload(key, [b"somebody else's"])

        read = staticmethod(inner.read)

    with pytest.raises(ConflictError, match="same moment"):
        LastWriterWins(Overtaken()).create("b/x", b"mine")
