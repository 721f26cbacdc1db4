"""A disk, local or mounted, with the guarantees of an object store.

A file system has no conditional write, so `create` and `replace` take the same way: under the lock of
the folder look at what is there, write a temporary file beside it, fsync, rename, fsync the folder. The
lock binds every process that uses this module; a person's editor does not know it, so an edit that is
saved at the very moment of a `replace` can be lost.

Lock and temporary files are hidden: their names start with `.ckptptr-`, and they are never listed. A kill
in the middle of a write leaves its temporary file behind. A checkpoint's payload folder goes with its last
file.

Names are UTF-8 on the disk, whatever the locale says: another machine's locale may be another one.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import BinaryIO

import xxhash

from ckptptr.errors import (
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.hidden import HIDDEN
from ckptptr.stores.emptied import PAYLOAD
from ckptptr.stores.local.errors import reading, writing
from ckptptr.stores.local.inside import Inside
from ckptptr.stores.local.lock import FolderLock, NoLocksError
from ckptptr.stores.port import Block, Entry, Guarantee, Token

log = logging.getLogger("ckptptr")

BLOCK_SIZE = 8 * 1024 * 1024
PIECE = 1024 * 1024

_SMALL = 64 * 1024 * 1024
"""Files that are read up to this size to know their token. LATEST, the one that is replaced, is smaller."""

_HIDDEN = HIDDEN.encode()
_SILLY = re.compile(r"\.nfs[0-9a-f]{16,}")
"""What an NFS client calls a file that was deleted while somebody reads it."""

_PAYLOAD = re.compile(PAYLOAD.pattern.encode())

_FOLDER_TRIES = 10
"""How often a new file is begun again because its folder was removed, empty, at that moment."""


class LocalStore:
    """Files below absolute POSIX paths. The token of a file is the digest of its content.

    - Only files are objects: reading a folder, a pipe or a device is `NotFoundError`.
    - A symbolic link to a file is read through, and replaced by a plain file when written: what it
      points to may be an immutable manifest. Links to folders are not followed by `list`. A link that leads
      out of the root is `DamagedError`, see `Inside`.
    - Unlike on S3, `a` and `a/b` cannot both exist: `InvalidArgumentError`.

    The first write finds out whether the file system has locks; later processes are told (`has_locks`).
    Without them `create` still has one winner, by a hard link; of writers that `replace` at once the last
    one wins.

    Args:
        inside: which links are followed; all by default.
        has_locks: False where it is known that the file system has none, see `folder_lock`.
        lock_timeout: how long a write waits for another process's write in the same folder, in seconds.
    """

    block_size = BLOCK_SIZE

    def __init__(
        self, *, inside: Inside | None = None, has_locks: bool = True, lock_timeout: float = 60.0
    ) -> None:
        self._inside = inside or Inside()
        self._has_locks = has_locks
        self._lock_timeout = lock_timeout

    @property
    def guarantee(self) -> Guarantee:
        return Guarantee.COMPARE_AND_SWAP if self._has_locks else Guarantee.LAST_WRITER_WINS

    def url(self, key: str) -> str:
        return key

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        with reading(key), self._open(key) as file:
            status = os.fstat(file.fileno())
            whole = status.st_size if limit is None else min(limit, status.st_size)
            if status.st_size <= _SMALL:
                body = file.read()
                return body[:limit], _digest(body)
            # What is so large is nothing of ours. Its token must not cost a look at all of it.
            body = file.read(whole)
            return body, Token(f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}")

    def create(self, key: str, body: bytes) -> Token:
        return self._swap(key, body, None)

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        return self._swap(key, body, token)

    def list(self, folder: str) -> Iterator[Entry]:
        path = _path(folder)
        return _walk(path) if self._may_list(path) else iter(())

    stream = list

    def folders(self, folder: str) -> Sequence[str]:
        path = _path(folder)
        return [name for is_folder, name, _ in _children(path) if is_folder] if self._may_list(path) else []

    def _may_list(self, path: bytes) -> bool:
        try:
            self._inside.check(path)
        except DamagedError as error:
            log.warning("%s", error)
            return False
        return True

    def delete(self, keys: Iterable[str]) -> None:
        folders = set()
        for key in keys:
            path = _path(key)
            with writing(key), contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                self._inside.check(os.path.dirname(path))
                os.unlink(path)
                folders.add(os.path.dirname(path))
        for folder in sorted(folders, reverse=True):
            _remove_emptied(folder)
            with writing(_text(folder)), contextlib.suppress(FileNotFoundError):
                _fsync_folder(folder)

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        self._inside.check(os.path.dirname(_path(key)))
        with _NewFile(key) as new:
            for block in blocks:
                new.write(block)
        return True

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        if length == 0:
            return
        with reading(key):
            file = self._open(key)
        with file:
            position, end = start, start + length
            while position < end:
                with reading(key):
                    block = os.pread(file.fileno(), min(PIECE, end - position), position)
                if not block:
                    raise DamagedError(
                        f"the file ends at byte {position} or before, {end} were asked for", key=key
                    )
                position += len(block)
                yield block

    def copy(self, source: str, key: str) -> None:
        self._inside.check(os.path.dirname(_path(key)))
        with reading(source):
            file = self._open(source)
        with file, _NewFile(key) as new:
            new.write_all_of(file)

    def _swap(self, key: str, body: bytes, expected: Token | None) -> Token:
        folder = os.path.dirname(_path(key))
        self._inside.check(folder)
        with writing(key):
            _make_folder(folder)
            if self._has_locks:
                try:
                    with FolderLock(folder, timeout=self._lock_timeout):
                        return self._write_if(key, body, expected)
                except NoLocksError as error:
                    self._go_without_locks(folder, error)
            token = self._write_if(key, body, expected, by_link=expected is None)
            if self._current(key) not in (token, None):  # None: it was written, and deleted since
                raise ConflictError("another writer came at the same moment", key=key)
            return token

    def _write_if(self, key: str, body: bytes, expected: Token | None, *, by_link: bool = False) -> Token:
        if self._current(key) != expected:
            raise ConflictError(
                "the file exists already" if expected is None else "the file has changed or is gone", key=key
            )
        with _NewFile(key, by_link=by_link) as new:
            new.write(body)
        return _digest(body)

    def _go_without_locks(self, folder: bytes, error: NoLocksError) -> None:
        self._has_locks = False
        log.warning(
            "%s is on a file system without locks (%s). The last writer wins there, and a restore looks at "
            "all attempts (PROTOCOL.md, section 3). Mount it with locks to prevent that (Lustre: -o flock)",
            _text(folder),
            error.strerror,
        )

    def _current(self, key: str) -> Token | None:
        try:
            return self.read(key, 0)[1]
        except (NotFoundError, DamagedError):  # a link that leads out is replaced by a file
            return None

    def _open(self, key: str) -> BinaryIO:
        path = _path(key)
        file = _open(path)
        try:
            self._inside.check(path, file.fileno())
        except BaseException:
            file.close()
            raise
        return file


class _NewFile:
    """A hidden file that takes its real name, durably, when the `with` block ends well.

    Every method translates its own errors, so that those of the block pass through unchanged.

    Args:
        by_link: `ConflictError` where the name is taken, which is seen by a hard link and not by a look. A
            file system without hard links gets the rename.
    """

    def __init__(self, key: str, *, by_link: bool = False) -> None:
        self._key = key
        self._by_link = by_link
        self._path = _path(key)
        self._folder = os.path.dirname(self._path)
        self._hidden = os.path.join(self._folder, _HIDDEN + secrets.token_hex(8).encode())
        self._size = 0

    def __enter__(self) -> _NewFile:
        with writing(self._key):
            for _ in range(_FOLDER_TRIES):
                with contextlib.suppress(FileNotFoundError):  # removed with its last object, at this moment
                    _make_folder(self._folder)
                    self._file = open(self._hidden, "xb")  # closed by __exit__
                    return self
            raise FileNotFoundError(errno.ENOENT, "the folder is removed again and again")

    def write(self, block: bytes) -> None:
        with writing(self._key):
            self._file.write(block)
        self._size += len(block)

    def write_all_of(self, source: BinaryIO) -> None:
        with writing(self._key):
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
                os.unlink(self._hidden)

    def _commit(self) -> None:
        with writing(self._key):
            self._file.flush()
            os.fsync(self._file.fileno())
            written = os.fstat(self._file.fileno())
            if written.st_size != self._size:
                raise StoreUnavailableError(
                    f"wrote {self._size} bytes, the disk has {written.st_size}", key=self._key
                )
            self._file.close()
            if not (self._by_link and self._linked()):
                self._rename(written)
            _fsync_folder(self._folder)

    def _linked(self) -> bool:
        try:
            os.link(self._hidden, self._path)
        except FileExistsError:
            raise ConflictError("the file exists already", key=self._key) from None
        except OSError as error:
            if error.errno in (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
                return False
            raise
        return True

    def _rename(self, written: os.stat_result) -> None:
        try:
            os.replace(self._hidden, self._path)
        except FileNotFoundError:
            # NFS repeats a rename whose reply was lost, and then does not find the old name any more.
            if not os.path.samestat(os.stat(self._path), written):
                raise


def _path(key: str) -> bytes:
    """The path as the disk has it."""
    if not key.startswith("/"):
        raise InvalidArgumentError("a path on a disk must be absolute", key=key)
    if os.path.basename(key).startswith(HIDDEN):
        raise InvalidArgumentError(f"names that start with {HIDDEN} are ckptptr's own", key=key)
    if "\0" in key:
        raise InvalidArgumentError("a path cannot contain a NUL character", key=repr(key))
    try:
        return key.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidArgumentError("the name cannot be written in UTF-8", key=repr(key)) from None


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _digest(body: bytes) -> Token:
    return Token(xxhash.xxh3_128_hexdigest(body))


def _open(path: bytes) -> BinaryIO:
    """The file, to read. A pipe or a device is not one; without O_NONBLOCK to open it could take for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "this is no regular file")
    return open(descriptor, "rb", buffering=0)


def _children(folder: bytes) -> Sequence[tuple[bool, str, os.DirEntry[bytes]]]:
    """What is in a folder, in the order of keys: whether it is a folder, and its name."""
    with reading(_text(folder)):
        try:
            with os.scandir(folder) as found:
                children = [
                    (child.is_dir(follow_symlinks=False), _text(child.name), child) for child in found
                ]
        except (FileNotFoundError, NotADirectoryError):
            return ()
    # A folder sorts by the slash after its name: `a.txt` comes before `a/b`.
    return sorted(children, key=lambda child: f"{child[1]}/" if child[0] else child[1])


def _walk(folder: bytes) -> Iterator[Entry]:
    for is_folder, name, child in _children(folder):
        if is_folder:
            yield from _walk(child.path)
        elif not (name.startswith(HIDDEN) or _SILLY.fullmatch(name)):
            yield from _entry(child)


def _entry(child: os.DirEntry[bytes]) -> Iterator[Entry]:
    key = _text(child.path)
    with reading(key):
        try:
            found = child.stat() if child.is_file() else None
        except FileNotFoundError:  # deleted since it was listed
            return
    if found:
        yield Entry(key, found.st_size, found.st_mtime)


def _make_folder(folder: bytes) -> None:
    if os.path.isdir(folder):
        return
    try:
        os.mkdir(folder)
    except FileNotFoundError:
        _make_folder(os.path.dirname(folder))
        _make_folder(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
    else:
        _fsync_folder(os.path.dirname(folder))


def _remove_emptied(folder: bytes) -> None:
    """Remove a checkpoint's payload folder with its last file, and those inside it; no other folder, ever.

    A writer that begins a file in it at that moment makes it again, see `_NewFile`.
    """
    with contextlib.suppress(OSError):  # not empty, or not ours to remove
        while _PAYLOAD.search(folder):
            os.rmdir(folder)
            folder = os.path.dirname(folder)


def _fsync_folder(folder: bytes) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC_OF_FOLDERS:
            raise
    finally:
        os.close(descriptor)


_NO_FSYNC_OF_FOLDERS = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF, errno.EPERM)
"""What mounts answer that cannot do it: there a crash of the machine can take the last rename back."""


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
