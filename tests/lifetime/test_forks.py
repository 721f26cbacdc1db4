"""A forked process is not held up by what threads of its parent hold, and leaves to them what they began."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

import ckptptr
from ckptptr.errors import NotFoundError, OutcomeUnknownError
from ckptptr.protocol.blocks import BLOCK
from ckptptr.stores.local.lock import FolderLock
from ckptptr.stores.local.store import LocalStore
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.room import Room

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")

PATIENCE = 20.0


def fork(act: Callable[[], object]) -> int:
    """A child that does `act` and ends with 0, or with 1 where that raised."""
    child = os.fork()
    if not child:
        try:
            act()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - printed
            traceback.print_exc()
        finally:
            os._exit(1)
    return child


def ending(child: int) -> int:
    """How it ends; it is killed where that takes too long."""
    end = time.monotonic() + PATIENCE
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.01)


def in_a_fork(act: Callable[[], object]) -> int:
    return ending(fork(act))


class Stopped:
    """The parent's uploads to a local store stop at the gate."""

    def __init__(self) -> None:
        self.reached, self.gate = threading.Event(), threading.Event()
        upload, parent = LocalStore.upload, os.getpid()

        def stop(store: LocalStore, key: str, blocks: Iterable[bytes]) -> bool:
            if os.getpid() == parent:
                self.reached.set()
                assert self.gate.wait(PATIENCE)
            return upload(store, key, blocks)

        self.upload = stop


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stopped]:
    stopped = Stopped()
    monkeypatch.setattr(LocalStore, "upload", stopped.upload)
    yield stopped
    stopped.gate.set()


@contextmanager
def holding(held: Callable[[], AbstractContextManager[object]]) -> Iterator[None]:
    """Another thread is inside of that."""
    is_held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with held():
            is_held.set()
            may_end.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert is_held.wait(PATIENCE)
        yield
    finally:
        may_end.set()
        thread.join()


def read_nothing(store: MemoryStore) -> None:
    with pytest.raises(NotFoundError):
        store.read("bucket/key")


STORE, ROOM = MemoryStore(), Room(1)


@pytest.mark.parametrize(
    ("held", "act"),
    [(lambda: STORE._lock, lambda: read_nothing(STORE)), (lambda: ROOM.taken(1), lambda: ROOM.take(1))],
    ids=["the memory store", "room for payload"],
)
def test_what_a_thread_of_the_parent_holds_is_free_in_the_child(
    held: Callable[[], AbstractContextManager[object]], act: Callable[[], object]
) -> None:
    with holding(held):
        assert in_a_fork(act) == 0


def test_a_child_does_not_hold_the_lock_file_of_a_parent_that_was_killed(tmp_path: Path) -> None:
    lock = FolderLock(bytes(tmp_path), timeout=PATIENCE)
    reads, writes = os.pipe()

    def parent() -> None:
        with holding(lambda: lock):
            os.write(writes, b"%d" % fork(signal.pause))
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_fork(parent) == -signal.SIGKILL
    child = int(os.read(reads, 20))
    try:
        with FolderLock(bytes(tmp_path), timeout=1):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_file_that_the_parent_writes_is_the_parents_and_the_child_may_save(tmp_path: Path) -> None:
    checkpoints = ckptptr.open(tmp_path / "run")
    block = checkpoints.writer("model.pt")
    file = block.__enter__()
    file.write(b"of the parent")

    def child() -> None:
        with pytest.raises(OutcomeUnknownError, match="only its parent goes on"):
            file.write(bytes(3 * LocalStore.block_size))
        with pytest.raises(OutcomeUnknownError):
            block.__exit__(None, None, None)
        checkpoints.save(b"of the child")

    assert in_a_fork(child) == 0
    block.__exit__(None, None, None)
    with checkpoints.open("model.pt") as saved:
        assert saved.read() == b"of the parent"


def test_a_fork_does_not_hold_back_what_the_parent_saves(tmp_path: Path) -> None:
    """The workers of a data loader live on while the parent saves."""
    checkpoints = ckptptr.open(tmp_path / "run")
    children = []
    for step in range(5):
        saved = checkpoints.save(bytes(100_000), step=step, block=False)
        children.append(fork(signal.pause))
        assert saved.result(PATIENCE).step == step
    for child in children:
        os.kill(child, signal.SIGKILL)
        assert ending(child) == -signal.SIGKILL


def test_what_the_parent_saves_is_no_orphan_of_its_child(tmp_path: Path, stopped: Stopped) -> None:
    checkpoints = ckptptr.open(tmp_path / "run")
    saved = checkpoints.save(b"of the parent", step=1, block=False)
    assert stopped.reached.wait(PATIENCE)

    def child() -> None:
        for step in (2, 3):
            checkpoints.save(bytes([step]), step=step)
        pointer = checkpoints._session.latest.read().pointer
        assert pointer is not None
        assert pointer.expired == ()

    assert in_a_fork(child) == 0
    stopped.gate.set()
    assert saved.result(PATIENCE).step == 1


def test_a_file_that_the_parent_reads_can_be_read_in_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = ckptptr.open(tmp_path / "run")
    checkpoints.save(body := os.urandom(4 * BLOCK), step=1)
    parent, gate, download = os.getpid(), threading.Event(), LocalStore.download

    def stop(store: LocalStore, key: str, start: int, length: int) -> Iterator[bytes | memoryview]:
        if start >= 2 * BLOCK and os.getpid() == parent:
            assert gate.wait(PATIENCE)
        return download(store, key, start, length)

    monkeypatch.setattr(LocalStore, "download", stop)
    with checkpoints.open() as file:
        assert (
            file.raw.read(BLOCK) + file.raw.read(BLOCK) == body[: 2 * BLOCK]
        )  # and what follows is fetched ahead

        def child() -> None:
            assert file.read() == body[2 * BLOCK :]

        assert in_a_fork(child) == 0
        gate.set()
        assert file.read() == body[2 * BLOCK :]
