"""Temporary folders that live as long as their owner: flytekit never closes its checkpoint."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path

from ckptptr.hidden import temporary_folder


class TemporaryFolders:
    """The folders of one owner: removed by `remove`, when this object is gone, or at the process's end."""

    def __init__(self) -> None:
        self._removals: list[weakref.finalize[..., TemporaryFolders]] = []

    def new(self) -> Path:
        """A new folder.

        Raises:
            LocalDiskError: this machine has no temporary folder that can be written to.
        """
        folder = Path(tempfile.mkdtemp(prefix="ckptptr-", dir=temporary_folder()))
        self._removals.append(weakref.finalize(self, _remove, folder, os.getpid()))
        return folder

    def remove(self) -> None:
        for removal in self._removals:
            removal()


def _remove(folder: Path, pid: int) -> None:
    """Not in a process that was forked meanwhile: the folder is the parent's."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)
