"""Temporary folders that live as long as their owner: flytekit never closes its checkpoint."""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path

from ckptptr.hidden import HiddenFolder, remove_left_behind, temporary_folder

PREFIX = f"ckptptr-restored-{os.uname().nodename}-"
"""With the machine's name: some network filesystems have locks that other machines do not see."""


class TemporaryFolders:
    """The folders of one owner: removed by `remove`, when this object is gone, or at the process's end; those
    of a killed process by the next process that needs one."""

    def __init__(self) -> None:
        self._top: Path | None = None
        self._process = 0
        self._removals: list[weakref.finalize[..., TemporaryFolders]] = []

    def new(self) -> Path:
        """A new folder.

        Raises:
            LocalDiskError: this machine has no temporary folder that can be written to.
        """
        if self._top is None or self._process != os.getpid():
            place = temporary_folder()
            remove_left_behind(place, PREFIX)
            folder = HiddenFolder(place, PREFIX)
            self._top, self._process = folder.path, os.getpid()
            self._removals.append(weakref.finalize(self, _remove, folder, os.getpid()))
        return Path(tempfile.mkdtemp(dir=self._top))

    def remove(self) -> None:
        for removal in self._removals:
            removal()
        self._top = None


def _remove(folder: HiddenFolder, pid: int) -> None:
    """Not in a process that was forked meanwhile: the folder is the parent's."""
    if os.getpid() == pid:
        folder.remove()
