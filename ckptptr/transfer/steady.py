"""To read a file that another program may be writing, such that what was read belongs together.

A log that grows is taken as long as it was when the read began. A file that shrinks, or is written anew,
is read again, a bounded number of times. One that is replaced by a rename stays open, and whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from ckptptr.errors import LocalDiskError
from ckptptr.transfer.digest import Digest
from ckptptr.transfer.folder import one_file
from ckptptr.transfer.plan import MIB, Local

TRIES = 4

_T = TypeVar("_T")


class ChangedError(Exception):
    """The file is not the one that was planned: what was read of it may be a mix."""


class GoneError(LocalDiskError):
    """The file was deleted since it was planned."""


def steadily(file: Local, read: Callable[[Local, bool], _T]) -> tuple[Local, _T] | None:
    """Read a file until what was read belongs together; the file as it was read, and what `read` returned.

    None where it was deleted, and the folder that it was found in was not.

    Args:
        read: reads it through `Steady`. It is told the file as it is now, and whether it may be longer than
            that: a plan that was just made is as old as the beginning of the read, and then the file grows.

    Raises:
        LocalDiskError: it changed in each of the tries, cannot be read, or is gone with its whole folder.
    """
    for tried in range(TRIES):
        try:
            return file, read(file, tried > 0)
        except ChangedError:
            file = _planned_again(file)
        except GoneError:
            if file.top is not None and file.top.is_dir():
                return None
            raise
    raise LocalDiskError(
        f"the file changed each of the {TRIES} times that it was read",
        key=str(file.source),
        hint="Save it when it is finished, or leave it out with ignore=",
    )


class Steady:
    """A file that is open for reading; after the `with` block what was read of it belongs together.

    Args:
        digest: of the bytes that were read, all of them from the beginning.

    Raises:
        ChangedError: it does not.
        GoneError, LocalDiskError: there is no such file, or it cannot be read.
    """

    def __init__(self, file: Local, path: str, *, may_grow: bool, digest: Callable[[], str]) -> None:
        self._file = file
        self._path = path
        self._may_grow = may_grow
        self._digest = digest

    def __enter__(self) -> FileIO:
        try:
            self._opened = FileIO(self._path, "rb")
        except FileNotFoundError as error:
            raise GoneError("there is no such file any more", key=self._path) from error
        except OSError as error:
            raise self._unreadable(error) from error
        self._before = os.fstat(self._opened.fileno())
        if self._is_another():
            self._opened.close()
            raise ChangedError
        return self._opened

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._opened:
            if isinstance(error, OSError):
                raise self._unreadable(error) from error
            if error is None and not self._belongs_together():
                raise ChangedError

    def _is_another(self) -> bool:
        """Whether it is not the file that was planned."""
        planned, size = self._file, self._before.st_size
        if planned.inode not in (0, self._before.st_ino) or size < planned.size:
            return True
        return size > planned.size and not self._may_grow

    def _belongs_together(self) -> bool:
        before, after = self._before, os.fstat(self._opened.fileno())
        if (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size):
            return True
        self._opened.seek(0)
        again = Digest()
        while data := self._opened.read(min(MIB, self._file.size - again.size)):
            again.add(data)
        return again.size == self._file.size and again.hex() == self._digest()

    def _unreadable(self, error: OSError) -> LocalDiskError:
        return LocalDiskError(f"cannot read the file ({error.strerror})", key=self._path)


def _planned_again(file: Local) -> Local:
    if not isinstance(file.source, str) or not os.path.exists(file.source):
        return file  # gone: the next try finds that out
    return one_file(Path(file.source), file.path, file.top)
