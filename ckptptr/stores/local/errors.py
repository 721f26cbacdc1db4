"""What a disk answers, in words of ours: absent, denied, impossible, unavailable."""

from __future__ import annotations

import errno
import os
from types import TracebackType

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores.local.lock import LockTimeoutError

_FAILURES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EIO: "the disk reports an input/output error",
    errno.ESTALE: "the mount has gone stale",
    errno.ENOLCK: "the file system has no locks left, or its lock service does not answer",
}
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENXIO)
_IMPOSSIBLE = {
    errno.ENAMETOOLONG: "the name is too long for the file system",
    errno.ELOOP: "the path runs through a loop of symbolic links",
    errno.EISDIR: "there is a folder of that name",
    errno.ENOTDIR: "the path runs through a file",
    errno.EEXIST: "the path runs through a file",
}


class _Translating:
    """Raises ours in place of an OSError.

    A class: a generator that translates holds the frame, and so the caller's locals, in a cycle until the
    next garbage collection (Python 3.12 and later).
    """

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            raise self._translated(error) from error

    def _translated(self, error: OSError) -> CkptptrError:
        raise NotImplementedError


class reading(_Translating):  # noqa: N801 - used like a function
    """A `with` block that reads `key`: what the disk answers, as an error of ours."""

    def _translated(self, error: OSError) -> CkptptrError:
        if error.errno in _ABSENT:
            return NotFoundError("there is no such file", key=self._key)
        return _translated(error, self._key, "read")


class writing(_Translating):  # noqa: N801
    """A `with` block that writes `key`."""

    def _translated(self, error: OSError) -> CkptptrError:
        return _translated(error, self._key, "write")


def _translated(error: OSError, key: str, verb: str) -> CkptptrError:
    code = error.errno or 0
    if isinstance(error, LockTimeoutError):
        return StoreUnavailableError(
            f"another process has held the lock of this folder for {error.seconds:.0f} seconds",
            key=os.fsdecode(error.lock),
            hint="The lock goes with the process that holds it: look for one that hangs, on every machine",
        )
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
        hint = "Remove or rename this folder" if code == errno.EISDIR else ""
        return InvalidArgumentError(_IMPOSSIBLE[code], key=key, hint=hint)
    return StoreUnavailableError(_FAILURES.get(code, error.strerror or type(error).__name__), key=key)
