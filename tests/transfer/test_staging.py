"""A restore that was killed is continued by the next one, and leaves nothing behind for ever."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from ckptptr import hidden
from ckptptr.errors import DamagedError
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.memory import MemoryStore
from ckptptr.testing import Fault, FaultyStore
from ckptptr.transfer.digest import digest_of
from ckptptr.transfer.download import Download
from ckptptr.transfer.staging import PREFIX, Staging
from tests.transfer.test_download import BLOCK, FILES, HOME, content, downloads, restore, stored

# Python 3.12 warns of forks beside threads; these children do nothing that needs any.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore(block_size=BLOCK))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def in_a_process_that_is_killed(work: Callable[[], object]) -> None:
    """Do `work` in a child, and kill the child before it can tidy up."""

    def run() -> None:
        work()
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL


def fetch_and_be_killed(store: FaultyStore, state: Path, records: list[FileRecord]) -> None:
    def fetch() -> None:
        Download(store, state).fetch(HOME, records)

    in_a_process_that_is_killed(fetch)


def left(state: Path) -> list[Path]:
    return [*state.glob(f"{PREFIX}*")]


def test_what_a_killed_restore_had_verified_is_not_fetched_again(store: FaultyStore, state: Path) -> None:
    records = stored(store)
    fetch_and_be_killed(store, state, records[:2])
    assert len(left(state)) == 1
    restore(store, state, records)
    assert content(state) == FILES
    assert downloads(store) == [f"{HOME}/data/1/größe 🦙"]  # and not the two that the child had


def test_what_it_had_is_of_no_use_where_the_object_is_gone(store: FaultyStore, state: Path) -> None:
    records = stored(store, {"a": b"here", "b": b"gone"})
    fetch_and_be_killed(store, state, records)
    store.inner.delete([f"{HOME}/data/1/b"])
    with pytest.raises(DamagedError, match="'b': it is gone"):
        restore(store, state, records)
    assert content(state) == {}


def test_what_it_had_is_verified_once_more(store: FaultyStore, state: Path) -> None:
    (record,) = stored(store, {"a": b"good"})
    fetch_and_be_killed(store, state, [record])
    (folder,) = left(state)
    (file,) = folder.iterdir()
    file.write_bytes(b"bad!")
    restore(store, state, [record])
    assert content(state) == {"a": b"good"}


def test_what_it_had_not_verified_is_removed(store: FaultyStore, state: Path) -> None:
    records = stored(store)

    def killed_in_the_middle() -> None:
        mine = Staging(state)
        (mine.path / "0").write_bytes(FILES["model.pt"])

    in_a_process_that_is_killed(killed_in_the_middle)
    restore(store, state, records)
    assert content(state) == FILES
    assert len(downloads(store)) == 3


def test_two_files_of_equal_content_are_both_taken_over(store: FaultyStore, state: Path) -> None:
    records = stored(store, {"a": b"same", "b": b"same", "c": b"other"})
    fetch_and_be_killed(store, state, records)
    restore(store, state, records)
    assert content(state) == {"a": b"same", "b": b"same", "c": b"other"}
    assert downloads(store) == []


def test_what_several_killed_restores_left_is_taken_over_or_removed(store: FaultyStore, state: Path) -> None:
    records = stored(store)
    for record in records:
        fetch_and_be_killed(store, state, [record])
    # Each took over what the one before it had, wanted or not: so only the last one's folder is there.
    assert len(left(state)) == 1
    restore(store, state, records)
    assert content(state) == FILES


def test_it_is_removed_even_where_nothing_has_to_be_fetched(store: FaultyStore, state: Path) -> None:
    records = stored(store)
    restore(store, state, records)
    fetch_and_be_killed(store, state, stored(store, {"x": b"x"}, "2"))
    restore(store, state, records)
    assert content(state) == FILES


def test_another_restore_that_is_under_way_is_left_alone(store: FaultyStore, state: Path) -> None:
    records = stored(store)
    with Download(store, state) as first:
        fetched = first.fetch(HOME, records)
        restore(store, state, records[:1])
        first.install(fetched)
    assert content(state) == FILES


def test_after_a_failure_the_own_folder_is_gone(store: FaultyStore, state: Path) -> None:
    records = stored(store)
    store = FaultyStore(store.inner, [Fault(op="download", times=100)])
    with pytest.raises(Exception, match="injected"):
        restore(store, state, records)
    assert left(state) == []


def test_where_folders_cannot_be_locked_nothing_is_taken_over_or_removed(
    store: FaultyStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = stored(store)
    fetch_and_be_killed(store, state, records)

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    restore(store, state, records)
    assert {path: body for path, body in content(state).items() if not path.startswith(PREFIX)} == FILES
    assert len(left(state)) == 1


def test_a_folder_that_another_takes_before_it_is_locked_is_made_anew(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, stolen = hidden._locked, []

    def steal_the_first(folder: Path) -> int | None:
        if not stolen:
            stolen.append(folder)
            folder.rmdir()
        return lock(folder)

    monkeypatch.setattr(hidden, "_locked", steal_the_first)
    mine = Staging(state)
    assert stolen != [mine.path]
    assert mine.path.is_dir()
    mine.remove()
    assert content(state) == {}


def test_a_file_is_named_by_its_digest_whatever_a_manifest_calls_a_digest(state: Path) -> None:
    mine = Staging(state)
    names = [
        Path(mine.new(digest)).relative_to(mine.path) for digest in (digest_of(b"x"), "", "../x", "0" * 300)
    ]
    assert [str(name) for name in names] == [f"{digest_of(b'x')}-1", "unknown-2", "unknown-3", "unknown-4"]
    mine.remove()


def test_what_it_had_of_another_size_is_removed(store: FaultyStore, state: Path) -> None:
    (record,) = stored(store, {"a": b"good"})
    fetch_and_be_killed(store, state, [record])
    (folder,) = left(state)
    (file,) = folder.iterdir()
    file.write_bytes(b"good and more")
    restore(store, state, [record])
    assert content(state) == {"a": b"good"}
