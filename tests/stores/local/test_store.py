from __future__ import annotations

import errno
import gc
import os
import stat
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import ckptptr
from ckptptr.errors import (
    AccessDeniedError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores.local.store import LocalStore
from ckptptr.stores.port import Entry
from ckptptr.testing import StoreConformance

STORE = LocalStore()


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """On a disk, wherever the other tests write."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


class SmallBlocks(LocalStore):
    block_size = 4096


class TestLocalStore(StoreConformance):
    equal_bodies_have_equal_tokens = True
    an_object_can_have_objects_below = False

    @pytest.fixture
    def store(self) -> LocalStore:
        return SmallBlocks()

    @pytest.fixture
    def folder(self, tmp_path: Path) -> str:
        return str(tmp_path / "node")


def failing(number: int) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return fail


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != ".ckptptr-lock")


# A person at the same files


def test_an_edit_by_hand_is_a_new_version(tmp_path: Path) -> None:
    latest = tmp_path / "LATEST"
    token = STORE.create(str(latest), b"1")
    latest.write_bytes(b"by hand")
    with pytest.raises(ConflictError):
        STORE.replace(str(latest), b"2", token)
    body, token = STORE.read(str(latest))
    assert body == b"by hand"
    STORE.replace(str(latest), b"2", token)
    assert latest.read_bytes() == b"2"


def test_a_link_is_read_through_and_replaced_without_touching_its_target(tmp_path: Path) -> None:
    manifest, latest = tmp_path / "manifest.json", tmp_path / "LATEST"
    manifest.write_bytes(b"immutable")
    latest.symlink_to(manifest)
    body, token = STORE.read(str(latest))
    assert body == b"immutable"
    STORE.replace(str(latest), b"new", token)
    assert latest.read_bytes() == b"new"
    assert not latest.is_symlink()
    assert manifest.read_bytes() == b"immutable"


def test_a_dangling_link_does_not_exist_and_can_be_created_over(tmp_path: Path) -> None:
    latest = tmp_path / "LATEST"
    latest.symlink_to(tmp_path / "gone")
    with pytest.raises(NotFoundError):
        STORE.read(str(latest))
    STORE.create(str(latest), b"1")
    assert latest.read_bytes() == b"1"
    assert not latest.is_symlink()


def test_new_files_have_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        STORE.create(str(tmp_path / "LATEST"), b"1")
        STORE.upload(str(tmp_path / "data"), [b"1"])
    finally:
        os.umask(before)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("LATEST", "data")} == {0o640}


# Listing


def test_lock_and_temporary_files_are_never_listed(tmp_path: Path) -> None:
    STORE.create(str(tmp_path / "a"), b"1")
    (tmp_path / ".ckptptr-0123456789abcdef").write_bytes(b"left by a kill")
    (tmp_path / ".hidden").write_bytes(b"the user's own")
    assert [Path(entry.key).name for entry in STORE.list(str(tmp_path))] == [".hidden", "a"]


def test_a_listing_survives_files_and_folders_that_vanish_under_it(tmp_path: Path) -> None:
    for name in ("a/x", "b/x", "c", "d"):
        STORE.create(str(tmp_path / name), b"1")
    listing = STORE.list(str(tmp_path))
    assert next(listing).key == str(tmp_path / "a/x")
    for entry in (tmp_path / "b").iterdir():
        entry.unlink()
    (tmp_path / "b").rmdir()
    (tmp_path / "c").unlink()
    assert [*listing] == [Entry(str(tmp_path / "d"), 1)]


def test_links_to_folders_are_not_followed_and_links_to_files_are_listed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"123")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "dangling").symlink_to("gone")
    found = [(Path(entry.key).name, entry.size) for entry in STORE.list(str(tmp_path))]
    assert found == [("file", 3), ("link", 3)]


def test_a_folder_that_may_not_be_listed_is_denied_and_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    STORE.create(str(tmp_path / "a"), b"1")
    monkeypatch.setattr(os, "scandir", failing(errno.EACCES))
    with pytest.raises(AccessDeniedError, match="no permission to read"):
        list(STORE.list(str(tmp_path)))


def test_a_stale_mount_is_unavailable_and_not_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", failing(errno.ESTALE))
    with pytest.raises(StoreUnavailableError, match="stale"):
        list(STORE.list(str(tmp_path)))


# Failures of the disk

WRITE_FAILURES = {
    errno.ENOSPC: (StoreUnavailableError, "the disk is full"),
    errno.EDQUOT: (StoreUnavailableError, "quota"),
    errno.EIO: (StoreUnavailableError, "input/output"),
    errno.ESTALE: (StoreUnavailableError, "stale"),
    errno.EROFS: (AccessDeniedError, "read-only"),
    errno.EACCES: (AccessDeniedError, "Grant this user the write permission"),
    errno.EPERM: (AccessDeniedError, "no permission to write"),
}


@pytest.mark.parametrize("number", WRITE_FAILURES)
@pytest.mark.parametrize("call", [(os, "fsync"), (os, "replace")])
def test_a_failed_write_says_why_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: tuple[object, str], number: int
) -> None:
    expected, words = WRITE_FAILURES[number]
    key = str(tmp_path / "x")
    token = STORE.create(key, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(*call, failing(number))
        for write in (
            lambda: STORE.replace(key, b"new", token),
            lambda: STORE.upload(key, [b"new"]),
            lambda: STORE.copy(key, key),
            lambda: STORE.create(str(tmp_path / "y"), b"new"),
        ):
            with pytest.raises(expected, match=words) as caught:
                write()
            assert type(caught.value) is expected
            assert str(tmp_path) in caught.value.key
    assert STORE.read(key) == (b"old", token)
    assert files_below(tmp_path) == ["x"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.EIO, StoreUnavailableError),
        (errno.ESTALE, StoreUnavailableError),
        (errno.ETIMEDOUT, StoreUnavailableError),
        (errno.EACCES, AccessDeniedError),
        (errno.ENOENT, NotFoundError),
        (errno.ENOTDIR, NotFoundError),
        (errno.ENAMETOOLONG, InvalidArgumentError),
    ],
)
def test_a_failed_read_is_absent_only_if_the_disk_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    key = str(tmp_path / "x")
    STORE.create(key, b"1")
    monkeypatch.setattr(os, "open", failing(number))
    for read in (
        lambda: STORE.read(key),
        lambda: b"".join(STORE.download(key, 0, 1)),
        lambda: STORE.copy(key, str(tmp_path / "y")),
    ):
        with pytest.raises(expected) as caught:
            read()
        assert type(caught.value) is expected


def test_a_lock_that_is_never_released_is_unavailable_and_named(tmp_path: Path) -> None:
    lock = tmp_path / ".ckptptr-lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(StoreUnavailableError, match="another process has held the lock") as caught:
            LocalStore(lock_timeout=0.1).create(str(tmp_path / "x"), b"1")
        assert caught.value.key == str(lock)
        holder.communicate(b"\n")
    STORE.create(str(tmp_path / "x"), b"1")


HOLD_LOCK = (
    "import fcntl, sys\n"
    "with open(sys.argv[1], 'w') as lock:\n"
    "    fcntl.flock(lock, fcntl.LOCK_EX); print(flush=True); sys.stdin.readline()"
)


def test_the_file_and_its_folders_are_synced_before_a_write_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    STORE.create(str(tmp_path / "new/newer/x"), b"1")
    assert synced[:2] == [tmp_path.name, "new"]
    assert synced[2].startswith(".ckptptr-")
    assert synced[3:] == ["newer"]


# Keys

BAD_KEYS = [
    "relative/x",
    "/a/nul\0l",
    "/a/" + "n" * 300,
    "/a/\ud800",
    "/a/.ckptptr-lock",
    "/a/.ckptptr-anything",
]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_a_name_no_disk_can_hold_is_an_invalid_argument(tmp_path: Path, key: str) -> None:
    key = key.replace("/a/", f"{tmp_path}/")
    for call in (lambda: STORE.read(key), lambda: STORE.create(key, b""), lambda: STORE.upload(key, [b""])):
        with pytest.raises(InvalidArgumentError):
            call()


def test_a_file_where_a_folder_should_be_is_an_invalid_argument_to_write_and_absent_to_read(
    tmp_path: Path,
) -> None:
    STORE.create(str(tmp_path / "a"), b"1")
    with pytest.raises(InvalidArgumentError, match="runs through a file"):
        STORE.create(str(tmp_path / "a/b"), b"2")
    with pytest.raises(InvalidArgumentError, match="runs through a file"):
        STORE.upload(str(tmp_path / "a/b/c"), [b"2"])
    with pytest.raises(NotFoundError):
        STORE.read(str(tmp_path / "a/b"))


def test_a_folder_where_the_file_should_be_is_an_invalid_argument_to_write(tmp_path: Path) -> None:
    (tmp_path / "LATEST/sub").mkdir(parents=True)
    with pytest.raises(InvalidArgumentError, match=r"a folder of that name.*Remove or rename this folder"):
        STORE.create(str(tmp_path / "LATEST"), b"1")
    STORE.delete([str(tmp_path / "LATEST")])
    assert (tmp_path / "LATEST/sub").is_dir()


# Kills

KILLED = """
import os, signal, sys
from ckptptr.stores.local.store import LocalStore
def blocks():
    yield b"half"
    os.kill(os.getpid(), signal.SIGKILL)
LocalStore().upload(sys.argv[1], blocks())
"""


def test_a_kill_in_the_middle_of_an_upload_leaves_nothing_to_be_seen(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "x")], check=False)
    assert [*STORE.list(str(tmp_path))] == []
    STORE.upload(str(tmp_path / "x"), [b"whole"])
    assert STORE.read(str(tmp_path / "x"))[0] == b"whole"


def test_a_save_leaves_no_cycle_that_keeps_the_variables_of_its_caller_alive(tmp_path: Path) -> None:
    """On Python 3.12 and later each one did: a whole model, until the next collection."""

    class Model:
        pass

    def save(checkpoints: ckptptr.Checkpoints, step: int) -> weakref.ref[Model]:
        model = Model()
        checkpoints.save(b"state", step=step)
        return weakref.ref(model)

    gc.collect()
    gc.disable()
    try:
        with ckptptr.open(str(tmp_path)) as checkpoints:
            left = [save(checkpoints, step) for step in range(3)]
        assert [reference() for reference in left] == [None] * 3
    finally:
        gc.enable()


# Folders of payload

PAYLOAD = "home/data/0000000001-a0000-abcdefgh"


def test_a_payload_folder_goes_with_its_last_file_and_no_folder_above_it(tmp_path: Path) -> None:
    for name in (f"{PAYLOAD}/a/b/weights", f"{PAYLOAD}/c", "home/manifests/x", "data/of/a/user"):
        STORE.upload(str(tmp_path / name), [b"1"])

    STORE.delete([str(tmp_path / PAYLOAD / "a/b/weights")])
    assert [path.name for path in (tmp_path / PAYLOAD).iterdir()] == ["c"]
    STORE.delete([str(tmp_path / name) for name in (f"{PAYLOAD}/c", "home/manifests/x", "data/of/a/user")])

    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["data", "data/of", "data/of/a", "home", "home/data", "home/manifests"]


def test_a_payload_folder_stays_while_a_file_is_written_in_it(tmp_path: Path) -> None:
    first, second = (str(tmp_path / PAYLOAD / name) for name in "12")
    STORE.upload(first, [b"1"])

    def blocks() -> Iterator[bytes]:
        STORE.delete([first])
        yield b"2"

    STORE.upload(second, blocks())
    assert STORE.read(second)[0] == b"2"


def test_writers_and_deleters_of_one_payload_folder_never_disturb_each_other(tmp_path: Path) -> None:
    def write_and_delete(name: str) -> None:
        for number in range(60):
            key = str(tmp_path / PAYLOAD / "deep" / f"{name}-{number}")
            STORE.upload(key, [b"1"])
            assert STORE.read(key)[0] == b"1"
            STORE.delete([key])

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write_and_delete, f"t{number}") for number in range(4)]:
            done.result()

    assert list((tmp_path / "home/data").iterdir()) == []


# What is no file


def test_a_pipe_or_a_device_is_no_object_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name in ("pipe", "device"):
        for read in (
            STORE.read,
            lambda key: b"".join(STORE.download(key, 0, 1)),
            lambda key: STORE.copy(key, str(tmp_path / "y")),
        ):
            with pytest.raises(NotFoundError):
                read(str(tmp_path / name))
    STORE.create(str(tmp_path / "pipe"), b"1")
    assert [entry.key for entry in STORE.list(str(tmp_path))] == [str(tmp_path / "pipe")]


def test_a_file_that_nfs_keeps_for_a_reader_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / ".nfs000000000123abcd00000001").write_bytes(b"deleted, and still read")
    assert list(STORE.list(str(tmp_path))) == []


def test_a_rename_that_nfs_did_twice_has_succeeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.replace

    def replace(old: bytes, new: bytes) -> None:
        really(old, new)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr(os, "replace", replace)
    STORE.create(str(tmp_path / "x"), b"1")
    assert STORE.read(str(tmp_path / "x"))[0] == b"1"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF, errno.EPERM])
def test_a_mount_that_cannot_sync_folders_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    really = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    STORE.create(str(tmp_path / "new/x"), b"1")
    assert STORE.read(str(tmp_path / "new/x"))[0] == b"1"


IN_ASCII = r"""
import sys
from ckptptr.stores.local.store import LocalStore
store, folder = LocalStore(), sys.argv[1]
print(sys.getfilesystemencoding())
store.create(f"{folder}/gr\u00f6\u00dfe", b"1")
assert [entry.key for entry in store.list(folder)] == [f"{folder}/gr\u00f6\u00dfe"], [*store.list(folder)]
"""


def test_names_are_utf8_whatever_the_locale_says(tmp_path: Path) -> None:
    environ = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-c", IN_ASCII, str(tmp_path)], env=environ, check=True, capture_output=True
    )
    assert done.stdout == b"ascii\n"
    assert STORE.read(str(tmp_path / "gr\u00f6\u00dfe"))[0] == b"1"
