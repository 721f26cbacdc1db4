"""What goes by the lane, what does not, and what happens when the lane fails; obstore's own memory and
stubs of obstore stand for a cloud."""

from __future__ import annotations

import hashlib
import logging
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, Literal

import obstore
import pytest
from obstore.store import MemoryStore as ObstoreMemory

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.obstore import threads
from ckptptr.stores.obstore.fast import FastLane
from ckptptr.stores.obstore.lending import UnlendableError
from ckptptr.stores.obstore.store import ObstoreStore
from ckptptr.stores.port import Capacity, Guarantee

BLOCK = 16


class FakeLender:
    name: ClassVar[str] = "fakefs"
    scheme: ClassVar[str] = "memory"
    version: ClassVar[Literal["e_tag", "version"]] = "e_tag"
    proves_blocks = True
    block_size: ClassVar[int] = BLOCK
    answer = 120.0
    compares_parts = False
    deletes_together: ClassVar[int] = 1
    page: ClassVar[int] = 0
    copies: ClassVar[int] = BLOCK
    guarantee = Guarantee.COMPARE_AND_SWAP
    metadata: Mapping[str, str] = {"flyte-execution-name": "n"}

    def __init__(self, refuses: str = "") -> None:
        self.cloud = ObstoreMemory()
        self._refuses = refuses

    def client(self, _: str) -> Any:
        if self._refuses:
            raise UnlendableError(self._refuses)
        return self.cloud

    def comparing(self, _: str, /) -> Any | None:
        return self.client("") if self.compares_parts else None

    def checked(self, _: str, /) -> None:
        """No bucket wants a checksum there."""

    def refusal(self, code: str, status: int, operation: str, url: str, said: str) -> CkptptrError:
        kinds = {"AccessDenied": AccessDeniedError, "NoSuchKey": NotFoundError}
        if operation == "download" and not status:  # obstore's memory has no codes
            code = "NoSuchKey"
        return kinds.get(code, StoreUnavailableError)(f"{operation}: {code} {status}{said}", key=url)


@pytest.fixture
def slow() -> MemoryStore:
    """The adapter."""
    return MemoryStore(block_size=BLOCK)


@pytest.fixture
def lender() -> FakeLender:
    return FakeLender()


@pytest.fixture
def lane(slow: MemoryStore, lender: FakeLender) -> FastLane:
    return FastLane(slow, ObstoreStore(lender))


class Stub(SimpleNamespace):
    """An obstore that answers as told, and notes what it was asked."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(asked=[])
        self._answers = answers

    def _answer(self, name: str, path: str) -> Any:
        self.asked.append(f"{name} {path}")
        answer = self._answers[name]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def put(self, _: Any, path: str, body: Iterable[bytes], **__: Any) -> Any:
        if not isinstance(body, bytes):
            list(body)
        return self._answer("put", path)

    def list(self, _: Any, prefix: str) -> Any:
        return self._answer("list", prefix)

    def get(self, _: Any, path: str, **__: Any) -> Any:
        blocks = self._answer("get", path)
        return SimpleNamespace(stream=lambda **_: iter(blocks))


def through(lane: FastLane, **answers: Any) -> Stub:
    stub = Stub(**answers)
    lane._payload._obstore = stub
    return stub


def listed(slow: MemoryStore) -> dict[str, int]:
    return {entry.key: entry.size for entry in slow.list("bucket")}


# Who moves what


@pytest.mark.parametrize("blocks", [[], [b"1"], [b"x" * BLOCK, b"y" * BLOCK, b"z"]])
def test_payload_goes_by_the_lane(
    lane: FastLane, lender: FakeLender, slow: MemoryStore, blocks: list[bytes]
) -> None:
    lane.upload("bucket/a", iter(blocks))
    assert bytes(obstore.get(lender.cloud, "a").bytes()) == b"".join(blocks)
    assert listed(slow) == {}
    assert b"".join(lane.download("bucket/a", 0, len(b"".join(blocks)))) == b"".join(blocks)
    assert lane.engine("bucket") == "obstore"


def test_a_copy_that_passes_through_here_has_no_more_parts_than_s3_takes(
    lender: FakeLender, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, parts = ObstoreStore(lender, block_size=1), list[bytes]()
    body = bytes(range(256)) * 48
    store.put("bucket/large", body)
    monkeypatch.setattr(store, "upload", lambda _, blocks: parts.extend(blocks))
    store.copy("bucket/large", "bucket/copy")
    assert b"".join(parts) == body
    assert len(parts) <= 10_000


def test_everything_else_is_the_adapters(lane: FastLane, lender: FakeLender, slow: MemoryStore) -> None:
    token = lane.create("bucket/LATEST", b"1")
    token = lane.replace("bucket/LATEST", b"2", token)
    assert lane.read("bucket/LATEST") == slow.read("bucket/LATEST") == (b"2", token)
    lane.copy("bucket/LATEST", "bucket/copy")
    assert [entry.key for entry in lane.list("bucket")] == ["bucket/LATEST", "bucket/copy"]
    lane.delete(["bucket/LATEST", "bucket/copy"])
    assert listed(slow) == {}
    assert (lane.guarantee, lane.url("bucket/x")) == (slow.guarantee, slow.url("bucket/x"))
    assert list(obstore.list(lender.cloud)) == []


def entry(name: str) -> dict[str, Any]:
    return {"path": name, "size": 1, "last_modified": None}


def test_a_stream_goes_by_the_lane_and_by_the_adapter_where_the_lane_cannot_begin_it(
    lane: FastLane, slow: MemoryStore
) -> None:
    slow.create("bucket/a/slow", b"1")
    through(lane, list=[[entry("a/x")], [entry("a/y")]])
    assert [each.key for each in lane.stream("bucket/a")] == ["bucket/a/x", "bucket/a/y"]
    stub = through(lane, list=ConnectionError("no"))
    for _ in range(4):
        assert [each.key for each in lane.stream("bucket/a")] == ["bucket/a/slow"]
    assert len(stub.asked) == 3  # then the lane is closed
    assert [each.key for each in lane.stream("bucket/a")] == ["bucket/a/slow"]


def test_a_stream_that_breaks_off_is_an_error(lane: FastLane, slow: MemoryStore) -> None:
    def pages() -> Iterator[list[dict[str, Any]]]:
        yield [entry("a/x")]
        raise ConnectionError("no")

    slow.create("bucket/a/slow", b"1")
    through(lane, list=pages())
    stream = lane.stream("bucket/a")
    assert next(stream).key == "bucket/a/x"
    with pytest.raises(StoreUnavailableError):
        next(stream)


def test_the_choice_explains_itself_in_the_log(
    lane: FastLane, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPTPTR_ENGINE", "obstore")
    with caplog.at_level(logging.INFO, "ckptptr"):
        lane.upload("bucket/a", [b"1"])
        lane.upload("bucket/b", [b"1"])
    assert [record.getMessage() for record in caplog.records] == [
        "obstore moves payload to and from memory://bucket: CKPTPTR_ENGINE is obstore; blocks of 16 B,"
        " at most 38 at once"
    ]
    assert (lane.engine("bucket"), lane.why("bucket")) == ("obstore", "CKPTPTR_ENGINE is obstore")


def test_metadata_is_attached(lane: FastLane, lender: FakeLender) -> None:
    lane.upload("bucket/small", [b"1"])
    lane.upload("bucket/large", [b"1" * BLOCK] * 3)
    for name in ("small", "large"):
        found = obstore.get(lender.cloud, name).attributes
        assert found == {"flyte-execution-name": "n", "Content-Type": "application/octet-stream"}


def test_what_cannot_be_lent_is_said_once_and_moved_by_the_filesystem(
    slow: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    lane = FastLane(slow, ObstoreStore(FakeLender(refuses="the requester pays"), block_size=5))
    assert lane.block_size == 5
    with caplog.at_level(logging.INFO, "ckptptr"):
        lane.upload("bucket/a", [b"1"])
        lane.upload("bucket/b", [b"1" * BLOCK] * 2)
        assert b"".join(lane.download("bucket/a", 0, 1)) == b"1"
    assert listed(slow) == {"bucket/a": 1, "bucket/b": 2 * BLOCK}
    assert [record.getMessage() for record in caplog.records] == ["fakefs moves payload: the requester pays"]
    assert lane.engine("bucket") == "fakefs (the requester pays)"
    assert lane.why("bucket") == "the requester pays"
    assert lane.block_size == BLOCK  # the adapter's


def test_blocks_that_the_lane_could_not_prove_are_the_filesystems(
    lane: FastLane, lender: FakeLender, slow: MemoryStore
) -> None:
    lender.proves_blocks = False
    lane.upload("bucket/small", [b"1"])
    assert lane.upload("bucket/large", [b"1" * BLOCK] * 2) is True
    assert listed(slow) == {"bucket/large": 2 * BLOCK}
    assert lane.engine("bucket") == "obstore, and fakefs what goes up in blocks"


def test_the_capacity_is_that_of_what_moves_the_payload(lender: FakeLender) -> None:
    class Narrow(MemoryStore):
        capacity = Capacity(room=3 * BLOCK, requests=2)

    fast = ObstoreStore(lender).capacity
    assert FastLane(Narrow(), ObstoreStore(lender)).capacity == fast
    lender.proves_blocks = False  # so the filesystem moves them
    assert FastLane(Narrow(), ObstoreStore(lender)).capacity == Capacity(3 * BLOCK, fast.requests)
    closed = FastLane(Narrow(), ObstoreStore(FakeLender(refuses="the requester pays")))
    closed.upload("bucket/a", [b"1"])
    assert closed.capacity == Narrow.capacity


def test_a_forked_child_uses_the_filesystem(
    lane: FastLane, slow: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_unusable", "the process was forked")
    lane.upload("bucket/a", [b"1"])
    assert listed(slow) == {"bucket/a": 1}


# What arrived


@pytest.mark.parametrize(
    ("etag", "is_proven"),
    [(f'"{hashlib.md5(b"1", usedforsecurity=False).hexdigest()}"', True), ('"0x8D"', False), (None, False)],
)
def test_an_etag_that_is_the_md5_proves_that_it_arrived(
    lane: FastLane, etag: str | None, is_proven: bool
) -> None:
    stub = through(lane, put={"e_tag": etag})
    assert lane.upload("bucket/a", [b"1"]) is is_proven
    assert stub.asked == ["put a"]


def test_where_the_store_compares_checksums_all_is_proven(lane: FastLane, lender: FakeLender) -> None:
    lender.compares_parts = True
    assert lane.upload("bucket/a", [b"1"]) is True
    assert lane.upload("bucket/a", [b"1" * BLOCK] * 2) is True


def test_a_first_object_that_its_etag_does_not_prove_is_sent_again_with_its_checksum(
    lane: FastLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = through(lane, put={"e_tag": '"0x8D"'})
    monkeypatch.setattr(FakeLender, "comparing", lambda self, _: self.cloud)
    assert lane.upload("bucket/a", [b"1"]) is True
    assert stub.asked == ["put a", "put a"]
    assert lane.upload("bucket/b", [b"1"]) is True
    assert stub.asked[2:] == ["put b"]


def test_of_many_blocks_nothing_is_proven(lane: FastLane) -> None:
    assert lane.upload("bucket/a", [b"1" * BLOCK] * 2) is False


# When the lane fails

ABSENT = FileNotFoundError(
    "Server returned non-2xx status code: 404 Not Found: <Error><Code>NoSuchKey</Code>"
)
REFUSED = OSError("Server returned non-2xx status code: 403 Forbidden: <Error><Code>AccessDenied</Code>")


def test_what_the_lane_does_not_manage_the_adapter_does(lane: FastLane, slow: MemoryStore) -> None:
    slow.upload("bucket/old", [b"old"])
    through(lane, put=REFUSED, get=REFUSED)
    lane.upload("bucket/a", [b"1"])
    assert b"".join(lane.download("bucket/old", 0, 3)) == b"old"
    assert listed(slow) == {"bucket/a": 1, "bucket/old": 3}


@pytest.mark.parametrize("breaks", [True, False], ids=["an error", "an early end"])
def test_what_breaks_off_in_the_middle_the_adapter_continues(
    lane: FastLane, slow: MemoryStore, breaks: bool
) -> None:
    slow.upload("bucket/old", [b"0123456789"])

    def stream() -> Iterator[bytes]:
        yield b"234"
        yield b"56"
        if breaks:
            raise REFUSED

    through(lane, get=stream())
    assert [bytes(block) for block in lane.download("bucket/old", 2, 7)] == [b"234", b"56", b"78"]


def test_more_than_was_asked_for_is_not_handed_on(lane: FastLane) -> None:
    through(lane, get=[b"2345", b"6789"])
    assert b"".join(lane.download("bucket/old", 2, 6)) == b"234567"


def test_what_neither_manages_is_the_adapters_error(lane: FastLane) -> None:
    with pytest.raises(NotFoundError):
        b"".join(lane.download("bucket/nothing", 0, 1))
    assert lane.engine("bucket") == "obstore"  # that was not its fault


def test_a_lane_that_keeps_failing_is_closed(lane: FastLane, caplog: pytest.LogCaptureFixture) -> None:
    stub = through(lane, put=REFUSED)
    with caplog.at_level(logging.INFO, "ckptptr"):
        for number in range(5):
            lane.upload(f"bucket/{number}", [b"1"])
    assert len(stub.asked) == 3
    assert "fakefs moves payload: obstore failed 3 times" in caplog.text


def test_failures_that_pass_do_not_close_it(lane: FastLane) -> None:
    real = lane._payload._obstore
    for number in range(5):
        through(lane, put=REFUSED)
        lane.upload(f"bucket/{number}", [b"1"])
        lane._payload._obstore = real
        lane.upload(f"bucket/good{number}", [b"1"])
    assert lane.engine("bucket") == "obstore"


def test_many_blocks_are_not_given_to_a_lane_that_reaches_nothing(lane: FastLane, slow: MemoryStore) -> None:
    through(lane, get=REFUSED)
    lane.upload("bucket/a", [b"1" * BLOCK] * 3)
    assert listed(slow) == {"bucket/a": 3 * BLOCK}


def test_the_lane_is_tried_once_and_a_missing_object_is_an_answer(lane: FastLane) -> None:
    stub = through(lane, put={"e_tag": None}, get=ABSENT)
    for _ in range(2):
        lane.upload("bucket/a", [b"1" * BLOCK] * 2)
    assert stub.asked == ["get a", "put a", "put a"]


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (REFUSED, AccessDeniedError, "AccessDenied 403"),
        (OSError("connection reset"), StoreUnavailableError, " 0"),
        (ValueError("Could not parse path"), InvalidArgumentError, "of this name"),
    ],
)
def test_many_blocks_that_the_lane_loses_are_our_error(
    lane: FastLane, error: Exception, expected: type[CkptptrError], words: str
) -> None:
    through(lane, put=error, get=ABSENT)
    with pytest.raises(expected, match=words) as caught:
        lane.upload("bucket/a", [b"1" * BLOCK] * 2)
    assert caught.value.key == "memory://bucket/a"


@pytest.mark.parametrize("good", [0, 1, 2, 3])
@pytest.mark.parametrize("error", [OSError("gone"), KeyboardInterrupt()])
def test_an_error_of_the_blocks_passes_through(lane: FastLane, good: int, error: BaseException) -> None:
    def blocks() -> Iterator[bytes]:
        for _ in range(good):
            yield b"1" * BLOCK
        raise error

    with pytest.raises(type(error)) as caught:
        lane.upload("bucket/a", blocks())
    assert caught.value is error


@pytest.fixture
def interrupt() -> Iterator[int]:
    """A signal that interrupts the main thread as Ctrl-C does; test runners keep that one for themselves."""

    def raise_it(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, raise_it)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_ends_an_upload_and_nothing_is_left(
    lane: FastLane, lender: FakeLender, interrupt: int
) -> None:
    def endless() -> Iterator[bytes]:
        yield b"1" * BLOCK
        signal.pthread_kill(threading.main_thread().ident or 0, interrupt)
        while True:
            yield b"1" * BLOCK

    with pytest.raises(KeyboardInterrupt):
        lane.upload("bucket/a", endless())
    assert list(obstore.list(lender.cloud)) == []
