"""Links must not lead out of a store on a disk: what they point to there was never saved.

Somebody who can write the folder of a run could name `/etc/shadow` as payload, or make a sweep delete a
user's files. So a file is looked at once it is open: where it really is cannot change any more. A folder is
looked at before it is listed or written to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from ckptptr.errors import DamagedError
from ckptptr.settings import ALLOW_ROOTS, STRICT


class Inside:
    """The files that a store may touch below its root; what is beside the root is not looked at.

    Args:
        root: the folder that links must not lead out of; "" for none.
        allowed: other folders that they may lead to.
    """

    def __init__(self, root: str = "", allowed: Iterable[str] = ()) -> None:
        self._root = root
        self._below = _slashed(os.fsencode(root)) if root else b""
        self._real = tuple(_slashed(os.path.realpath(os.fsencode(place))) for place in (root, *allowed))

    def check(self, path: bytes, descriptor: int | None = None) -> None:
        """Of a path, or of the file that was opened there.

        Raises:
            DamagedError: a link leads out.
        """
        if not self._root or not _slashed(path).startswith(self._below):
            return
        real = os.path.realpath(path) if descriptor is None else _path_of(descriptor, path)
        if not _slashed(real).startswith(self._real):
            raise DamagedError(
                f"a symbolic link leads out of {self._root}",
                key=os.fsdecode(path),
                hint=f"Remove it; or list the other place in {ALLOW_ROOTS.name}, unless {STRICT.name} is set",
            )


def _slashed(path: bytes) -> bytes:
    return path.rstrip(b"/") + b"/"


def _path_of(descriptor: int, path: bytes) -> bytes:
    """Where an open file really is."""
    try:
        return os.readlink(b"/proc/self/fd/%d" % descriptor)
    except OSError:  # there is no such folder on macOS
        return os.path.realpath(path)
