"""A disk, local or mounted, with the guarantees of an object store.

A file system has no conditional write, so `create` and `replace` take the same road: under a lock
file of the folder look at what is there, write a temporary file beside it, fsync, rename, fsync the
folder. The lock binds everybody who goes through this module; a person's editor does not know it,
so an edit saved at the very moment of a `replace` can be lost.

Lock and temporary files are hidden, start with `.ckptptr-` and are never listed. A kill in the
middle of a write leaves its temporary file behind.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import shutil
import sys
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import xxhash
from filelock import FileLock, Timeout

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores.port import Block, Entry, Guarantee, Token

HIDDEN = ".ckptptr-"
BLOCK_SIZE = 8 * 1024 * 1024
PIECE = 1024 * 1024
LOCK_TIMEOUT = 60.0


class LocalStore:
    """Files below absolute POSIX paths. The token of a file is the digest of its content.

    - A folder is not an object: reading one is `NotFoundError`.
    - A symbolic link to a file is read through, and replaced by a plain file when written: what it
      points to may be an immutable manifest. Links to folders are not followed by `list`.
    - Unlike on S3, `a` and `a/b` cannot both exist: `InvalidArgumentError`.

    Args:
        lock_timeout: seconds that a write waits while another process writes in the folder.
    """

    guarantee = Guarantee.COMPARE_AND_SWAP
    block_size = BLOCK_SIZE

    def __init__(self, *, lock_timeout: float = LOCK_TIMEOUT) -> None:
        self._lock_timeout = lock_timeout

    def url(self, key: str) -> str:
        return key

    def read(self, key: str) -> tuple[bytes, Token]:
        path = _path(key)
        with _reading(key):
            body = path.read_bytes()
        return body, _digest(body)

    def create(self, key: str, body: bytes) -> Token:
        return self._swap(key, body, None)

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        return self._swap(key, body, token)

    def list(self, folder: str) -> Iterator[Entry]:
        return _walk(str(_path(folder)))

    def delete(self, keys: Iterable[str]) -> None:
        folders = set()
        for key in keys:
            path = _path(key)
            with _writing(key), contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                path.unlink()
                folders.add(path.parent)
        for folder in folders:
            with _writing(str(folder)), contextlib.suppress(FileNotFoundError):
                _fsync_folder(folder)

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        with _NewFile(key) as new:
            for block in blocks:
                new.write(block)
        return True

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        if length == 0:
            return
        with _reading(key):
            file = _path(key).open("rb", buffering=0)
        with file:
            position, end = start, start + length
            while position < end:
                with _reading(key):
                    block = os.pread(file.fileno(), min(PIECE, end - position), position)
                if not block:
                    raise DamagedError(
                        f"the file ends at byte {position} or before, {end} were asked for", key=key
                    )
                position += len(block)
                yield block

    def copy(self, source: str, key: str) -> None:
        path = _path(source)
        with _reading(source):
            file = path.open("rb")
        with file, _NewFile(key) as new:
            new.write_all_of(file)

    def _swap(self, key: str, body: bytes, expected: Token | None) -> Token:
        folder = _path(key).parent
        with _writing(key):
            _make_folder(folder)
            with FileLock(folder / f"{HIDDEN}lock").acquire(self._lock_timeout, poll_interval=0.005):
                if self._current(key) != expected:
                    raise ConflictError(
                        "the file exists already" if expected is None else "the file has changed or is gone",
                        key=key,
                    )
                with _NewFile(key) as new:
                    new.write(body)
        return _digest(body)

    def _current(self, key: str) -> Token | None:
        try:
            return self.read(key)[1]
        except NotFoundError:
            return None


class _NewFile:
    """A hidden file that takes its real name, durably, when the `with` block ends well.

    Every method translates its own errors, so that those of the block pass through unchanged.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._path = _path(key)
        self._hidden = self._path.with_name(f"{HIDDEN}{secrets.token_hex(8)}")
        self._size = 0

    def __enter__(self) -> _NewFile:
        with _writing(self._key):
            _make_folder(self._path.parent)
            self._file = self._hidden.open("xb")
        return self

    def write(self, block: bytes) -> None:
        with _writing(self._key):
            self._file.write(block)
        self._size += len(block)

    def write_all_of(self, source: BinaryIO) -> None:
        with _writing(self._key):
            self._size += os.fstat(source.fileno()).st_size
            _copy(source, self._file)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._commit()
        finally:
            # After a commit there is nothing left under the hidden name.
            with contextlib.suppress(OSError):
                self._file.close()
            with contextlib.suppress(OSError):
                self._hidden.unlink()

    def _commit(self) -> None:
        with _writing(self._key):
            self._file.flush()
            os.fsync(self._file.fileno())
            size = os.fstat(self._file.fileno()).st_size
            if size != self._size:
                raise StoreUnavailableError(f"wrote {self._size} bytes, the disk has {size}", key=self._key)
            self._file.close()
            self._hidden.replace(self._path)
            _fsync_folder(self._path.parent)


def _path(key: str) -> Path:
    path = Path(key)
    if not path.is_absolute():
        raise InvalidArgumentError("a path on a disk must be absolute", key=key)
    if path.name.startswith(HIDDEN):
        raise InvalidArgumentError(f"names that start with {HIDDEN} are ckptptr's own", key=key)
    try:
        if b"\0" in os.fsencode(key):
            raise InvalidArgumentError("a path cannot contain a NUL character", key=repr(key))
    except UnicodeEncodeError:
        raise InvalidArgumentError(
            "the file system's encoding cannot express this name", key=repr(key)
        ) from None
    return path


def _digest(body: bytes) -> Token:
    return Token(xxhash.xxh3_128_hexdigest(body))


def _walk(folder: str) -> Iterator[Entry]:
    with _reading(folder):
        try:
            with os.scandir(folder) as found:
                children = [(child.is_dir(follow_symlinks=False), child) for child in found]
        except (FileNotFoundError, NotADirectoryError):
            return
    # A folder sorts by the slash after its name: `a.txt` comes before `a/b`.
    children.sort(key=lambda pair: f"{pair[1].name}/" if pair[0] else pair[1].name)
    for is_folder, child in children:
        if is_folder:
            yield from _walk(child.path)
        elif not child.name.startswith(HIDDEN):
            yield from _entry(child)


def _entry(child: os.DirEntry[str]) -> Iterator[Entry]:
    with _reading(child.path):
        try:
            entry = Entry(child.path, child.stat().st_size) if child.is_file() else None
        except FileNotFoundError:  # deleted since it was listed
            return
    if entry:
        yield entry


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    try:
        folder.mkdir()
    except FileNotFoundError:
        _make_folder(folder.parent)
        _make_folder(folder)
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        _fsync_folder(folder.parent)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a mount that has no fsync for folders
            raise
    finally:
        os.close(descriptor)


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    if sys.platform == "linux":
        # In the kernel, and on btrfs, xfs or NFS without moving a byte. Where that is not possible, the
        # plain copy goes on from where it stopped.
        try:
            while os.copy_file_range(source.fileno(), target.fileno(), 1 << 30):
                pass
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
                raise
    shutil.copyfileobj(source, target, BLOCK_SIZE)


_FAILURES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EIO: "the disk reports an input/output error",
    errno.ESTALE: "the mount has gone stale",
}
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)
_IMPOSSIBLE = {
    errno.ENAMETOOLONG: "the name is too long for the file system",
    errno.ELOOP: "the path runs through a loop of symbolic links",
    errno.EISDIR: "there is a folder of that name",
    errno.ENOTDIR: "the path runs through a file",
    errno.EEXIST: "the path runs through a file",
}


class _Doing:
    """Turns what the disk refuses inside into one of our errors. No generator: those keep the caller's frames
    alive after an error, on Python 3.12 and later."""

    def __init__(self, verb: str, key: str) -> None:
        self._verb = verb
        self._key = key

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            if self._verb == "read" and error.errno in _ABSENT:
                raise NotFoundError("there is no such file", key=self._key) from error
            raise _translated(error, self._key, self._verb) from error


_reading = functools.partial(_Doing, "read")
_writing = functools.partial(_Doing, "write")


def _translated(error: OSError, key: str, verb: str) -> CkptptrError:
    code = error.errno or 0
    if isinstance(error, Timeout):
        return StoreUnavailableError("another process has held the lock of this folder for too long", key=key)
    if code == errno.EROFS:
        return AccessDeniedError(
            f"no permission to {verb}",
            key=key,
            hint="The file system is mounted read-only: mount it writable.",
        )
    if isinstance(error, PermissionError):
        return AccessDeniedError(
            f"no permission to {verb}",
            key=key,
            hint=f"Grant this user the {verb} permission on the path and search permission on its folders.",
        )
    if code in _IMPOSSIBLE:
        return InvalidArgumentError(_IMPOSSIBLE[code], key=key)
    return StoreUnavailableError(_FAILURES.get(code, error.strerror or type(error).__name__), key=key)
