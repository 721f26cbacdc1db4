"""The lock of a folder on a disk: one process of all machines that mount it is inside at a time.

It is `flock` on a hidden file. The kernel (on NFS the server) releases it when its holder dies, however
that ends, so that it needs no owner, no age and no takeover. A file system without `flock` (Lustre as it
is mounted by default, some FUSE mounts) says so: `NoLocksError`. No lock is built from marker files then,
since one that a kill leaves behind stops every later process.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import suppress
from types import TracebackType

from ckptptr.lifetime.forks import renew_in_child

LOCK = b".ckptptr-lock"

_LOOK = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe of that name is not waited for
_POLL = 0.005  # seconds
_NO_LOCKS_AFTER = 5.0
"""For how many seconds ENOLCK may pass: it is also what a lock service says that is starting."""


class LockTimeoutError(OSError):
    """Another process holds `lock`, and has for `seconds`."""

    def __init__(self, lock: bytes, seconds: float) -> None:
        super().__init__(errno.EAGAIN, "another process holds the lock")
        self.lock = lock
        self.seconds = seconds


class NoLocksError(OSError):
    """The file system has no locks."""


class FolderLock:
    """Held inside a `with` block, by one thread of one process; not reentrant.

    Args:
        timeout: how long to wait for it, in seconds.

    Raises:
        LockTimeoutError: another holds it.
        NoLocksError: the file system cannot lock.
        OSError: the lock file cannot be opened.
    """

    def __init__(self, folder: bytes, *, timeout: float) -> None:
        self._path = os.path.join(folder, LOCK)
        self._timeout = timeout
        self._descriptor: int | None = None
        renew_in_child(self)

    def __enter__(self) -> None:
        began = time.monotonic()
        while not self._acquire(has_just_begun=time.monotonic() - began < _NO_LOCKS_AFTER):
            if time.monotonic() - began >= self._timeout:
                raise LockTimeoutError(self._path, self._timeout)
            time.sleep(_POLL)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # a process that was just forked has it open too
            os.close(descriptor)

    def renew(self) -> None:
        """In a fork: a thread of the parent is inside, and its lock must not outlive it here."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _acquire(self, *, has_just_begun: bool) -> bool:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError | PermissionError):  # EACCES: held, as some systems say it
                return False
            if not _says_no_locks(error):
                raise
            if error.errno == errno.ENOLCK and has_just_begun:
                return False
            raise NoLocksError(error.errno, error.strerror) from error
        self._descriptor = descriptor
        return True


def has_locks(folder: str) -> bool:
    """Whether a folder that has been written to can be locked; True where it has not, or cannot be opened."""
    try:
        descriptor = os.open(os.path.join(os.fsencode(folder), LOCK), _LOOK)
    except OSError:
        return True  # the first write finds out
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return not _says_no_locks(error)
    finally:
        os.close(descriptor)
    return True


def _says_no_locks(error: OSError) -> bool:
    return error.errno in (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
