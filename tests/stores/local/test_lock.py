"""File systems with locks, without, and with a lock service that is late."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from ckptptr.errors import ConflictError
from ckptptr.stores.local.store import LocalStore
from ckptptr.stores.open import open_store
from ckptptr.stores.port import Guarantee, Token
from ckptptr.testing import StoreConformance
from tests.stores.local.test_store import SmallBlocks

NO_LOCKS = [errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP]


@pytest.fixture(params=NO_LOCKS)
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", flock)


class TestWithoutLocks(StoreConformance):
    """What Lustre is like as it is mounted by default."""

    guarantee = Guarantee.LAST_WRITER_WINS
    equal_bodies_have_equal_tokens = True
    an_object_can_have_objects_below = False

    @pytest.fixture
    def store(self) -> LocalStore:
        return SmallBlocks(has_locks=False)

    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        return str(tmp_path / "node")


@pytest.mark.usefixtures("no_locks")
def test_a_file_system_without_locks_is_found_out_by_the_first_write_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = LocalStore()
    token = store.create(str(tmp_path / "LATEST"), b"1")
    store.replace(str(tmp_path / "LATEST"), b"2", token)

    assert store.read(str(tmp_path / "LATEST"))[0] == b"2"
    assert store.guarantee is Guarantee.LAST_WRITER_WINS
    assert len([record for record in caplog.records if "without locks" in record.message]) == 1
    assert open_store(str(tmp_path))[0].guarantee is Guarantee.LAST_WRITER_WINS


@pytest.mark.usefixtures("no_locks")
def test_without_locks_exactly_one_of_many_creates_wins(tmp_path: Path) -> None:
    won: list[bytes] = []
    ready = threading.Barrier(8)

    def create(body: bytes) -> None:
        store = LocalStore()
        ready.wait()
        try:
            store.create(str(tmp_path / "claim"), body)
        except ConflictError:
            return
        won.append(body)

    threads = [threading.Thread(target=create, args=(b"%d" % number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert won == [(tmp_path / "claim").read_bytes()]


def test_without_locks_what_is_deleted_before_it_is_read_back_was_written(tmp_path: Path) -> None:
    key = str(tmp_path / "x")

    class Deleted(LocalStore):
        def _write_if(self, *args: Any, **options: Any) -> Token:
            token = super()._write_if(*args, **options)
            os.unlink(key)
            return token

    token = Deleted(has_locks=False).create(key, b"1")
    with pytest.raises(ConflictError, match="gone"):
        LocalStore(has_locks=False).replace(key, b"2", token)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_and_hard_links_an_object_is_still_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    LocalStore().create(str(tmp_path / "x"), b"1")
    with pytest.raises(ConflictError):
        LocalStore().create(str(tmp_path / "x"), b"2")

    assert (tmp_path / "x").read_bytes() == b"1"


def test_a_lock_service_that_is_late_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really, answers = fcntl.flock, iter([errno.ENOLCK, errno.ENOLCK])

    def flock(descriptor: int, operation: int) -> None:
        if number := next(answers, None):
            raise OSError(number, os.strerror(number))
        really(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    store = LocalStore()
    store.create(str(tmp_path / "x"), b"1")

    assert store.guarantee is Guarantee.COMPARE_AND_SWAP


KILLED_IN_A_SWAP = """
import errno, fcntl, os, signal, sys
from ckptptr.stores.local.store import LocalStore
def flock(*_):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
if sys.argv[2] == "without":
    fcntl.flock = flock
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
store = LocalStore()
store.replace(sys.argv[1], b"2", store.read(sys.argv[1])[1])
"""


@pytest.mark.parametrize("locks", ["with", "without"])
def test_a_kill_inside_a_swap_stops_no_later_process(tmp_path: Path, locks: str) -> None:
    key = str(tmp_path / "LATEST")
    token = LocalStore().create(key, b"1")
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_A_SWAP, key, locks], check=False)

    assert killed.returncode == -9
    LocalStore(has_locks=locks == "with", lock_timeout=0.5).replace(key, b"3", token)
    assert LocalStore().read(key)[0] == b"3"
