from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timezone

import pytest

from ckptptr.errors import AccessDeniedError, NotFoundError, StoreUnavailableError
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Entry, Guarantee, Store, Token
from ckptptr.stores.wrappers.retry import Retrying
from ckptptr.testing import Fault, FaultyStore, StoreConformance


class StillClock:
    """Time that passes only in `slept`."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 11, 24, tzinfo=timezone.utc)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def token(self, length: int) -> str:
        return "x" * length

    def jitter(self) -> float:
        return 0.5


class TestRetryingStore(StoreConformance):
    holds_few_blocks = False

    @pytest.fixture
    def store(self) -> Store:
        return Retrying(MemoryStore(block_size=64), StillClock())

    @pytest.fixture
    def folder(self) -> str:
        return "data/run"


REPEATED: dict[str, Callable[[Store], object]] = {
    "read": lambda store: store.read("a/x"),
    "list": lambda store: [*store.list("a")],
    "delete": lambda store: store.delete(iter(["a/x"])),
    "download": lambda store: b"".join(store.download("a/x", 0, 1)),
    "copy": lambda store: store.copy("a/x", "a/y"),
}
SENT_ONCE: dict[str, Callable[[Store], object]] = {
    "create": lambda store: store.create("a/new", b"1"),
    "replace": lambda store: store.replace("a/x", b"2", Token("1")),
    "upload": lambda store: store.upload("a/x", [b"1"]),
}


def faulty(*faults: Fault) -> FaultyStore:
    memory = MemoryStore()
    memory.create("a/x", b"1")
    return FaultyStore(memory, faults)


def test_a_download_goes_on_behind_what_came() -> None:
    memory = MemoryStore()
    memory.create("a/x", b"0123456789")
    inner, clock = FaultyStore(memory, [Fault(when="during", times=2)]), StillClock()
    blocks = [*Retrying(inner, clock).download("a/x", 1, 8)]
    assert blocks == [b"1234", b"56", b"78"]
    assert len(clock.slept) == 2


@pytest.mark.parametrize("operation", REPEATED)
def test_what_changes_nothing_is_tried_again(operation: str, caplog: pytest.LogCaptureFixture) -> None:
    inner, clock = faulty(Fault(), Fault(when="after", nth=2)), StillClock()
    with caplog.at_level(logging.INFO, "ckptptr.stores"):
        REPEATED[operation](Retrying(inner, clock))
    assert [request.op for request in inner.log] == [operation] * 3
    assert clock.slept == [pytest.approx(0.075), pytest.approx(0.15)]
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        f"{operation} failed, try 1 of 5",
        f"{operation} failed, try 2 of 5",
    ]


@pytest.mark.parametrize("operation", REPEATED)
def test_tries_are_bounded_and_the_last_error_is_raised(operation: str) -> None:
    inner, clock = faulty(Fault(times=100)), StillClock()
    with pytest.raises(StoreUnavailableError, match="injected"):
        REPEATED[operation](Retrying(inner, clock, tries=3))
    assert len(inner.log) == 3
    assert len(clock.slept) == 2


@pytest.mark.parametrize("operation", SENT_ONCE)
def test_what_may_have_landed_is_sent_once(operation: str) -> None:
    inner, clock = faulty(Fault(when="after")), StillClock()
    with pytest.raises(StoreUnavailableError):
        SENT_ONCE[operation](Retrying(inner, clock))
    assert len(inner.log) == 1
    assert clock.slept == []


def test_a_store_that_is_slow_to_fail_is_given_up_when_the_time_is_up() -> None:
    inner = faulty(Fault(op="read", times=9))
    timer = iter([0.0, 60.0, 120.0, 121.0])
    store = Retrying(inner, StillClock(), at_most=120.0, timer=lambda: next(timer))
    with pytest.raises(StoreUnavailableError):
        store.read("a/x")
    assert len(inner.log) == 3


@pytest.mark.parametrize("operation", REPEATED)
@pytest.mark.parametrize("error", [AccessDeniedError("no"), NotFoundError("none"), ValueError("bug")])
def test_what_waiting_does_not_mend_is_raised_at_once(operation: str, error: Exception) -> None:
    inner, clock = faulty(Fault(error=error)), StillClock()
    with pytest.raises(type(error)) as caught:
        REPEATED[operation](Retrying(inner, clock))
    assert caught.value is error
    assert len(inner.log) == 1


def test_a_listing_that_breaks_off_in_the_middle_is_begun_again() -> None:
    class BreaksOnce(MemoryStore):
        broken = False

        def list(self, folder: str) -> Iterator[Entry]:
            for entry in super().list(folder):
                yield entry
                if not self.broken:
                    self.broken = True
                    raise StoreUnavailableError("page 2")

    inner = BreaksOnce()
    inner.create("a/x", b"1")
    inner.create("a/y", b"1")
    assert [*Retrying(inner, StillClock()).list("a")] == [Entry("a/x", 1), Entry("a/y", 1)]


def test_it_says_of_itself_what_the_store_says() -> None:
    inner = MemoryStore(Guarantee.LAST_WRITER_WINS, block_size=7)
    store = Retrying(inner, StillClock())
    assert (store.guarantee, store.block_size, store.url("a")) == (inner.guarantee, 7, "memory://a")
