from __future__ import annotations

import errno
import os
import re
import stat
import threading
from collections.abc import Callable, Generator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ckptptr.errors import (
    CkptptrError,
    DamagedError,
    LocalDiskError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Block, Store
from ckptptr.stores.wrappers.around import Around
from ckptptr.testing import Fault, FaultyStore, Killed
from ckptptr.transfer.digest import Digest, digest_of, read_again
from ckptptr.transfer.download import Download

BLOCK = 16
LARGER = 16 * 1024 * 1024 + 3
"""Bytes: more than one block of those that this version makes."""
HOME = "data/home"
LARGE = bytes(number % 251 for number in range(5 * BLOCK + 3))
FILES = {"model.pt": LARGE, "optim/adam.pt": b"adam", "optim/empty": b"", "größe 🦙": b"x" * BLOCK}


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore(block_size=BLOCK))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where things are restored to; not there yet."""
    return tmp_path / "deep" / "state"


def stored(store: FaultyStore, files: dict[str, bytes] = FILES, name: str = "1") -> list[FileRecord]:
    """Objects in the store, and their records."""
    for path, content in files.items():
        store.inner.create(f"{HOME}/data/{name}/{path}", content)
    return [
        FileRecord(path, f"data/{name}/{path}", len(content), digest_of(content))
        for path, content in files.items()
    ]


def in_blocks(record: FileRecord, body: bytes, size: int = BLOCK) -> FileRecord:
    """The same with blocks of that size: a manifest says itself how large they are."""
    digest = Digest(size)
    digest.add(body)
    return msgspec.structs.replace(record, blocks=digest.blocks())


def test_where_the_first_answers_are_late_many_files_come_side_by_side(
    store: FaultyStore, state: Path
) -> None:
    meeting = threading.Barrier(32, timeout=60)  # nothing is answered before as many have come

    class Late(Around):
        def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
            meeting.wait()
            yield from super().download(key, start, length)

    records = stored(store, {f"file{number}": b"x" for number in range(64)})
    with Download(Late(store), state) as download:
        download.install(download.fetch(HOME, records))
    assert len([*state.iterdir()]) == 64


def failing(store: FaultyStore, *faults: Fault) -> FaultyStore:
    return FaultyStore(store.inner, faults)


def restore(store: Store, state: Path, records: list[FileRecord], *folders: str) -> list[FileRecord]:
    with Download(store, state) as download:
        fetched = download.fetch(HOME, records)
        download.install(fetched, folders)
    return fetched


def content(folder: Path) -> dict[str, bytes]:
    """Everything there, hidden files too; folders only where they are empty."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"(folder)"
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


def downloads(store: FaultyStore) -> list[str]:
    return [request.key for request in store.log if request.op == "download"]


# All is well


def test_files_are_put_where_they_were_and_nothing_else_is_left(store: FaultyStore, state: Path) -> None:
    records = stored(store)
    assert restore(store, state, records) == records
    assert content(state) == FILES


def test_a_large_file_comes_in_blocks_and_an_empty_one_is_looked_at(store: FaultyStore, state: Path) -> None:
    restore(store, state, [in_blocks(record, FILES[record.path]) for record in stored(store)])
    assert [request.key for request in store.log if request.op == "read"] == [f"{HOME}/data/1/optim/empty"]
    assert sorted(downloads(store)) == sorted(
        [f"{HOME}/data/1/model.pt"] * 6 + [f"{HOME}/data/1/optim/adam.pt", f"{HOME}/data/1/größe 🦙"]
    )


def test_empty_folders_are_made(store: FaultyStore, state: Path) -> None:
    restore(store, state, stored(store), "logs/tb", "optim")
    assert content(state) == {**FILES, "logs/tb": b"(folder)"}


def test_an_empty_checkpoint_is_an_empty_folder(store: FaultyStore, state: Path) -> None:
    restore(store, state, [])
    assert content(state) == {}


def test_permission_bits_are_restored_and_usual_ones_are_left_to_the_umask(
    store: FaultyStore, state: Path
) -> None:
    model, adam, empty, _ = stored(store)
    modes = [msgspec.structs.replace(adam, mode=0o755), msgspec.structs.replace(empty, mode=0o400)]
    restore(store, state, [model, *modes])
    found = {r.path: stat.S_IMODE((state / r.path).stat().st_mode) for r in (model, adam, empty)}
    umask = os.umask(0)
    os.umask(umask)
    assert found == {"model.pt": 0o666 & ~umask, "optim/adam.pt": 0o755, "optim/empty": 0o400}


def test_a_plain_folder_without_digests_gets_them(store: FaultyStore, state: Path) -> None:
    records = stored(store)
    plain = [msgspec.structs.replace(record, xxh3_128="") for record in records]
    assert restore(store, state, plain) == records
    assert content(state) == FILES


# What is in the destination already


def test_files_that_are_there_with_the_right_digest_are_not_fetched(store: FaultyStore, state: Path) -> None:
    records = stored(store)
    restore(store, state, records)
    (state / "optim/adam.pt").write_bytes(b"ADAM")
    store.log.clear()
    restore(store, state, records)
    assert downloads(store) == [f"{HOME}/data/1/optim/adam.pt"]
    assert content(state) == FILES


def test_where_all_is_there_a_folder_that_is_read_only_will_do(
    store: FaultyStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = stored(store)
    restore(store, state, records)
    refusing(monkeypatch, "tempfile.mkdtemp", errno.EROFS)
    restore(store, state, records)


def test_permission_bits_are_restored_of_files_that_are_there(store: FaultyStore, state: Path) -> None:
    (record,) = stored(store, {"run.sh": b"#!"})
    restore(store, state, [record])
    restore(store, state, [msgspec.structs.replace(record, mode=0o755)])
    assert stat.S_IMODE((state / "run.sh").stat().st_mode) == 0o755


def test_a_file_of_the_right_size_and_other_content_is_fetched(store: FaultyStore, state: Path) -> None:
    state.mkdir(parents=True)
    (state / "model.pt").write_bytes(b"\0" * len(LARGE))  # what an interrupted download leaves
    restore(store, state, stored(store))
    assert content(state) == FILES


def test_a_plain_file_of_the_right_size_is_fetched_all_the_same(store: FaultyStore, state: Path) -> None:
    state.mkdir(parents=True)
    (state / "adam.pt").write_bytes(b"ADAM")
    (record,) = stored(store, {"adam.pt": b"adam"})
    restore(store, state, [msgspec.structs.replace(record, xxh3_128="")])
    assert content(state) == {"adam.pt": b"adam"}


def test_other_files_stay(store: FaultyStore, state: Path) -> None:
    (state / "optim").mkdir(parents=True)
    (state / "optim/notes.txt").write_bytes(b"mine")
    restore(store, state, stored(store))
    assert content(state) == {**FILES, "optim/notes.txt": b"mine"}


def test_a_link_in_the_destination_is_replaced_and_what_it_points_to_stays(
    store: FaultyStore, state: Path, tmp_path: Path
) -> None:
    state.mkdir(parents=True)
    (tmp_path / "elsewhere").write_bytes(b"mine")
    (state / "model.pt").symlink_to(tmp_path / "elsewhere")
    restore(store, state, stored(store))
    assert content(state) == FILES
    assert not (state / "model.pt").is_symlink()
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


# Nothing is seen before all is verified


def test_nothing_is_seen_in_the_destination_before_it_is_installed(store: FaultyStore, state: Path) -> None:
    with Download(store, state) as download:
        fetched = download.fetch(HOME, stored(store))
        assert [path.name for path in state.iterdir() if not path.name.startswith(".ckptptr-")] == []
        download.install(fetched)
        assert FILES.items() <= content(state).items()
    assert content(state) == FILES


def test_a_download_that_is_not_used_leaves_no_trace(store: FaultyStore, state: Path) -> None:
    with Download(store, state):
        pass
    assert not state.exists()


def test_a_file_that_was_corrupted_once_is_fetched_again(store: FaultyStore, state: Path) -> None:
    records = stored(store)
    store = failing(store, Fault("corrupt", op="download", key="adam"))
    restore(store, state, records)
    assert content(state) == FILES
    assert [key.rpartition("/")[2] for key in downloads(store)].count("adam.pt") == 2
    assert len(downloads(store)) == 4  # and the others not a second time


OLD = {"model.pt": b"old", "mine": b"mine"}

FAILURES: dict[str, tuple[Fault, type[BaseException], str]] = {
    "corrupted twice": (
        Fault("corrupt", op="download", key="model", times=100),
        DamagedError,
        r"'model\.pt' does not have the digest.*: memory://data/home/data/1/model\.pt",
    ),
    "gone": (Fault(key="adam", error=NotFoundError("no such object", key="adam")), NotFoundError, "adam"),
    "no answer": (Fault(key="model", nth=4), StoreUnavailableError, "injected"),
    "killed": (Fault("kill", key="model", nth=4), Killed, "^$"),
}


@pytest.mark.parametrize(("fault", "error", "message"), FAILURES.values(), ids=FAILURES)
def test_after_a_failure_the_destination_is_as_it_was(
    store: FaultyStore, state: Path, fault: Fault, error: type[BaseException], message: str
) -> None:
    state.mkdir(parents=True)
    for name, body in OLD.items():
        (state / name).write_bytes(body)
    records = [in_blocks(record, FILES[record.path]) for record in stored(store)]
    with pytest.raises(error, match=message):
        restore(failing(store, fault), state, records)
    assert content(state) == OLD


@pytest.mark.parametrize("path", ["optim/adam.pt", "optim/empty"])
def test_an_object_that_is_missing_is_named(store: FaultyStore, state: Path, path: str) -> None:
    records = stored(store)
    store.inner.delete([f"{HOME}/data/1/{path}"])
    with pytest.raises(NotFoundError, match=f"memory://data/home/data/1/{re.escape(path)}"):
        restore(store, state, records)


def test_an_object_that_is_missing_is_named_also_where_the_destination_has_the_file(
    store: FaultyStore, state: Path
) -> None:
    records = stored(store)
    restore(store, state, records)
    store.inner.delete([f"{HOME}/data/1/optim/adam.pt"])
    with pytest.raises(
        DamagedError, match=r"'optim/adam\.pt': it is gone: memory://data/home/data/1/optim/adam"
    ):
        restore(store, state, records)
    assert content(state) == FILES


def test_an_object_that_is_missing_is_named_also_where_another_checkpoint_had_the_file(
    store: FaultyStore, state: Path
) -> None:
    broken, whole = (stored(store, {"a": b"same", "b": b"same"}, name) for name in "21")
    store.inner.delete([f"{HOME}/data/2/b"])
    with Download(store, state) as download:
        for error, records in ((NotFoundError, broken), (None, whole), (DamagedError, broken)):
            with pytest.raises(error) if error else nullcontext():
                download.fetch(HOME, records)
        download.install(whole)
    assert content(state) == {"a": b"same", "b": b"same"}


@pytest.mark.parametrize("size", [len(LARGE) - 1, len(LARGE) + 1, 0, 1])
def test_an_object_of_another_size_is_damage(store: FaultyStore, state: Path, size: int) -> None:
    (record,) = stored(store, {"model.pt": LARGE})
    with pytest.raises(DamagedError, match=r"model\.pt"):
        restore(store, state, [msgspec.structs.replace(record, size=size)])


def test_an_object_that_only_got_longer_still_has_what_was_saved(store: FaultyStore, state: Path) -> None:
    (record,) = stored(store, {"model.pt": LARGE})
    key = f"{HOME}/{record.object}"
    store.inner.replace(key, LARGE + b"more", store.inner.read(key)[1])
    restore(store, state, [record])
    assert content(state) == {"model.pt": LARGE}


# Several checkpoints, one after the other


def test_what_a_rejected_checkpoint_left_is_never_mixed_into_the_next(
    store: FaultyStore, state: Path
) -> None:
    newer = stored(store, {"a": b"new", "b": b"new", "x": b"x"}, "2")
    older = stored(store, {"a": b"old", "b": b"older", "x/y": b"y"}, "1")
    state.mkdir(parents=True)
    (state / "a").write_bytes(b"old")  # restored before: right as it is, and not fetched
    store = failing(store, Fault("corrupt", key="2/b", times=2))
    with Download(store, state) as download:
        with pytest.raises(DamagedError):
            download.fetch(HOME, newer)
        download.install(download.fetch(HOME, older))
    assert content(state) == {"a": b"old", "b": b"older", "x/y": b"y"}


def test_a_checkpoint_fetched_before_another_can_still_be_installed(store: FaultyStore, state: Path) -> None:
    newer = stored(store, {"a": b"new", "b": b"same"}, "2")
    older = stored(store, {"a": b"old", "b": b"same"}, "1")
    with Download(store, state) as download:
        fetched = download.fetch(HOME, newer)
        download.fetch(HOME, older)
        download.install(fetched)
    assert content(state) == {"a": b"new", "b": b"same"}
    assert len(downloads(store)) == 3  # the same path with the same digest is the same file


def test_a_rejected_checkpoint_takes_no_room_on_the_disk(store: FaultyStore, state: Path) -> None:
    records = stored(store)
    with Download(failing(store, Fault(key="model", times=100)), state) as download:
        with pytest.raises(StoreUnavailableError):
            download.fetch(HOME, records)
        assert content(state) == {}


# This machine's disk


def refusing(monkeypatch: pytest.MonkeyPatch, what: str, number: int) -> None:
    opened = os.open

    def refuse(*given: Any, **__: object) -> int:
        if what == "os.open" and not given[1] & os.O_CREAT:  # to lock a folder, say
            return opened(*given)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(what, refuse)


@pytest.mark.parametrize(
    ("what", "number", "reason", "key"),
    [
        ("os.pwrite", errno.ENOSPC, "No space left on device", "state/model.pt"),
        ("os.pwrite", errno.EDQUOT, "Disk quota exceeded", "state/model.pt"),
        ("os.open", errno.EMFILE, "Too many open files", "state/model.pt"),
        ("os.replace", errno.EACCES, "Permission denied", "state/model.pt"),
        ("pathlib.Path.mkdir", errno.EROFS, "Read-only file system", "state"),
        ("tempfile.mkdtemp", errno.EACCES, "Permission denied", "state"),
    ],
)
def test_what_the_disk_refuses_is_told_with_the_file_and_the_reason(
    store: FaultyStore,
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    number: int,
    reason: str,
    key: str,
) -> None:
    records = stored(store, {"model.pt": LARGE})
    with monkeypatch.context() as patch:
        refusing(patch, what, number)
        with pytest.raises(LocalDiskError, match=rf"refused the restore \({reason}\).*untouched") as caught:
            restore(store, state, records)
    assert caught.value.key == str(state.parent / key)
    assert not state.exists() or content(state) == {}


def test_what_the_disk_refuses_is_fetched_no_further(
    store: FaultyStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store may hold room in memory for what it is asked for, until it is told that nobody wants it."""
    begun = ended = 0

    class Counting(Around):
        def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
            nonlocal begun, ended
            begun += 1
            try:
                yield from super().download(key, start, length)
            finally:
                ended += 1

    records = stored(store, {"model.pt": LARGE})
    refusing(monkeypatch, "os.pwrite", errno.ENOSPC)
    with pytest.raises(LocalDiskError) as caught:
        restore(Counting(store), state, records)
    assert begun == ended > 0
    assert caught.value  # its traceback still holds the frames


def test_a_file_that_somebody_cuts_short_meanwhile_is_damage_and_does_not_hang(
    store: FaultyStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = stored(store, {"model.pt": bytes(LARGER)})  # of which only the whole has a digest

    def cut_short(path: str, size: int) -> Digest:
        os.truncate(path, 3)
        return read_again(path, size)

    monkeypatch.setattr("ckptptr.transfer.download.read_again", cut_short)
    with pytest.raises(DamagedError, match="does not have the digest"):
        restore(store, state, records)


def test_a_write_that_takes_only_a_part_is_continued(
    store: FaultyStore, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: write(file, data[:3], offset))
    restore(store, state, stored(store))
    assert content(state) == FILES


def in_the_way_as_a_file(state: Path) -> None:
    state.parent.mkdir(parents=True)
    state.write_bytes(b"mine")


def a_parent_that_is_a_file(state: Path) -> None:
    state.parent.write_bytes(b"mine")


def a_folder_where_a_file_goes(state: Path) -> None:
    (state / "optim/empty/sub").mkdir(parents=True)


def a_file_where_a_folder_goes(state: Path) -> None:
    state.mkdir(parents=True)
    (state / "optim").write_bytes(b"mine")


@pytest.mark.parametrize(
    "obstacle",
    [in_the_way_as_a_file, a_parent_that_is_a_file, a_folder_where_a_file_goes, a_file_where_a_folder_goes],
)
def test_what_stands_in_the_way_is_told_and_stays_and_nothing_is_half_restored(
    store: FaultyStore, state: Path, tmp_path: Path, obstacle: Callable[[Path], None]
) -> None:
    obstacle(state)
    before = content(tmp_path)
    with pytest.raises(LocalDiskError, match=r"\((File exists|Not a directory|Is a directory)\)"):
        restore(store, state, stored(store))
    assert content(tmp_path) == before


def test_an_error_of_the_caller_passes_and_leaves_nothing_behind(store: FaultyStore, state: Path) -> None:
    records = stored(store)

    def interrupted() -> None:
        with Download(store, state) as download:
            download.fetch(HOME, records)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert content(state) == {}


@pytest.mark.slow
def test_a_real_full_disk_is_told(store: FaultyStore, full_disk: Path) -> None:
    records = stored(store, {"model.pt": bytes(2 << 20)})
    store.inner.block_size = 1 << 20  # type: ignore[misc]
    with pytest.raises(CkptptrError, match="No space left on device") as caught:
        restore(store, full_disk / "state", records)
    assert isinstance(caught.value, LocalDiskError)
    assert content(full_disk) == {"state": b"(folder)"}


def test_a_real_read_only_disk_is_told(store: FaultyStore, read_only_disk: Path) -> None:
    with pytest.raises(LocalDiskError, match="Read-only file system"):
        restore(store, read_only_disk / "state", stored(store))
