"""The folders that deleted payload leaves empty, where a store keeps folders: a disk, or ADLS Gen2.

Only folders of one checkpoint's payload are ever removed: what is in them is ours alone (PROTOCOL.md, section
4), and no later checkpoint writes there.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future

from ckptptr.errors import ConflictError, NotFoundError

PAYLOAD = re.compile(r"/data/[0-9]{10,}-a[0-9]{4,}-[a-z0-9]{6,}(/|$)")

_TOGETHER = 16
_has_folders: dict[str, bool] = {}
"""By account; it is asked once."""


class Emptied:
    """The payload folders of objects that are deleted, on an account that may have folders."""

    def __init__(self) -> None:
        self.folders: set[str] = set()

    def noting(self, keys: Iterable[str]) -> Iterator[str]:
        """The same keys."""
        for key in keys:
            folder = _outer(key)
            while folder not in self.folders and PAYLOAD.search(folder):
                self.folders.add(folder)
                folder = _outer(folder)
            yield key

    def remove(self, account: str, delete: Callable[[str], Future[None]]) -> None:
        """Remove them, deepest first, as far as they are empty. For a folder that stays nothing is raised.

        A flat account has none: that is found out by one deletion, of a checkpoint's own folder, whose name
        is never that of an object.

        Args:
            delete: begins the deletion of a folder. Its future fails with NotFoundError if there is no such
                folder, with ConflictError if it is not empty.
        """
        if not self.folders or _has_folders.get(account) is False:
            return
        if account not in _has_folders:
            error = delete(min(self.folders, key=len)).exception()
            if error is None or isinstance(error, (ConflictError, NotFoundError)):
                _has_folders[account] = not isinstance(error, NotFoundError)
            if not _has_folders.get(account):
                return
        kept: set[str] = set()
        for _, level in itertools.groupby(sorted(self.folders, key=_depth, reverse=True), key=_depth):
            folders = [*level]
            kept |= {_outer(folder) for folder in folders if folder in kept}
            folders = [folder for folder in folders if folder not in kept]
            for start in range(0, len(folders), _TOGETHER):
                for folder, deletion in [(each, delete(each)) for each in folders[start : start + _TOGETHER]]:
                    if not isinstance(deletion.exception(), (type(None), NotFoundError)):
                        kept.add(_outer(folder))


def _outer(name: str) -> str:
    return name.rpartition("/")[0]


def _depth(folder: str) -> int:
    return folder.count("/")
