from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from ckptptr.errors import ConflictError, NotFoundError, StoreUnavailableError
from ckptptr.stores.memory import MemoryStore
from ckptptr.testing import Fault, FaultyStore, Killed, Request, StoreConformance


class TestFaultyStoreWithoutFaults(StoreConformance):
    holds_few_blocks = False

    @pytest.fixture
    def store(self) -> FaultyStore:
        return FaultyStore(MemoryStore(block_size=64))

    @pytest.fixture
    def folder(self) -> str:
        return "data/run"


def faulty(*faults: Fault) -> FaultyStore:
    memory = MemoryStore(block_size=4)
    memory.create("a/x", b"12345678")
    return FaultyStore(memory, faults)


def keys(store: FaultyStore) -> list[str]:
    return [entry.key for entry in store.inner.list("a")]


def test_every_request_is_logged_in_order_of_start() -> None:
    store = faulty()
    token = store.read("a/x")[1]
    store.create("a/y", b"1")
    store.replace("a/x", b"2", token)
    list(store.list("a"))
    store.upload("a/z", [b"1"])
    b"".join(store.download("a/z", 0, 1))
    store.copy("a/x", "a/c")
    store.delete(["a/x", "a/y"])
    assert store.log == [
        Request(1, "read", "a/x"),
        Request(2, "create", "a/y"),
        Request(3, "replace", "a/x"),
        Request(4, "list", "a"),
        Request(5, "upload", "a/z"),
        Request(6, "download", "a/z"),
        Request(7, "copy", "a/c"),
        Request(8, "delete", "a/x a/y"),
    ]


def test_failing_before_means_that_nothing_happened() -> None:
    store = faulty(Fault(op="create"))
    with pytest.raises(StoreUnavailableError):
        store.create("a/y", b"1")
    assert keys(store) == ["a/x"]


def test_failing_after_means_that_it_happened() -> None:
    store = faulty(Fault(when="after", op="create"))
    with pytest.raises(StoreUnavailableError):
        store.create("a/y", b"1")
    assert keys(store) == ["a/x", "a/y"]


def test_an_error_of_the_store_itself_comes_before_a_lost_reply() -> None:
    store = faulty(Fault(when="after", op="create"))
    with pytest.raises(ConflictError):
        store.create("a/x", b"1")


def test_the_error_can_be_chosen() -> None:
    store = faulty(Fault(error=NotFoundError("gone")))
    with pytest.raises(NotFoundError, match="gone"):
        store.read("a/x")


def test_a_fault_hits_the_nth_match_and_as_many_as_told() -> None:
    store = faulty(Fault(op="read", key="x$", nth=2, times=2))
    outcomes = []
    for _ in range(4):
        store.list("a")
        try:
            store.read("a/x")
            outcomes.append("fine")
        except StoreUnavailableError:
            outcomes.append("failed")
    assert outcomes == ["fine", "failed", "failed", "fine"]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_without_an_operation_nth_counts_all_requests(n: int) -> None:
    store = faulty(Fault("kill", nth=n))
    for _ in range(n - 1):
        store.list("a")
    with pytest.raises(Killed):
        store.list("a")


@pytest.mark.parametrize(("when", "expected"), [("before", ["a/x"]), ("after", ["a/x", "a/y"])])
def test_after_a_kill_nothing_happens_any_more(when: str, expected: list[str]) -> None:
    store = faulty(Fault("kill", when=when, op="create"))  # type: ignore[arg-type]
    with pytest.raises(Killed):
        store.create("a/y", b"1")
    for request in (
        lambda: store.create("a/z", b"1"),
        lambda: store.delete(["a/x"]),
        lambda: store.read("a/x"),
    ):
        with pytest.raises(Killed):
            request()
    assert keys(store) == expected
    assert len(store.log) == 1


def test_a_kill_is_not_caught_as_an_exception() -> None:
    assert not issubclass(Killed, Exception)


def test_a_kill_in_the_middle_of_an_upload_leaves_nothing() -> None:
    store = faulty(Fault("kill", when="during", op="upload"))
    fed = []

    def blocks() -> Iterator[bytes]:
        for number in range(3):
            fed.append(number)
            yield b"1234"

    with pytest.raises(Killed):
        store.upload("a/y", blocks())
    assert fed == [0]
    assert keys(store) == ["a/x"]


def test_a_kill_in_the_middle_of_a_delete_leaves_the_rest() -> None:
    store = faulty(Fault("kill", when="during"))
    store.copy("a/x", "a/y")
    with pytest.raises(Killed):
        store.delete(["a/x", "a/y"])
    assert keys(store) == ["a/y"]


def test_corruption_flips_one_bit_once() -> None:
    store = faulty(Fault("corrupt"))
    body = store.read("a/x")[0]
    flipped = int.from_bytes(body, "big") ^ int.from_bytes(b"12345678", "big")
    assert flipped.bit_count() == 1
    assert store.read("a/x")[0] == b"12345678"


def test_corruption_of_a_download_is_once_too_and_other_requests_do_not_use_it_up() -> None:
    store = faulty(Fault("corrupt", op="download"))
    store.read("a/x")
    assert b"".join(store.download("a/x", 0, 4)) != b"1234"
    assert b"".join(store.download("a/x", 0, 4)) == b"1234"


def test_numbers_are_unique_across_threads() -> None:
    store = faulty()
    threads = [threading.Thread(target=lambda: [store.read("a/x") for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [request.n for request in store.log] == list(range(1, 201))


REALLY_KILLED = """
import os, signal, sys
from ckptptr.stores.local.store import LocalStore
from ckptptr.testing import Fault, FaultyStore
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
store = FaultyStore(LocalStore(), [Fault("kill", when="after", op="create", key="2$")], on_kill=die)
for number in range(1, 4):
    store.create(f"{sys.argv[1]}/{number}", b"1")
"""


def test_a_kill_can_be_a_real_one(tmp_path: os.PathLike[str]) -> None:
    done = subprocess.run([sys.executable, "-c", REALLY_KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert sorted(name for name in os.listdir(tmp_path) if re.fullmatch(r"\d", name)) == ["1", "2"]
