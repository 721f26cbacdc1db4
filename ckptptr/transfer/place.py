"""To put verified files in place, on whatever disk that is.

A link that stands in the destination is replaced and never followed. What a disk cannot keep (permission
bits, times) is a warning, once: shared volumes refuse it of files that are whole. What belongs to the
store itself is never written, should a folder of it be in the destination.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ckptptr.protocol.manifest import FileRecord, folders_above

log = logging.getLogger("ckptptr")

_MODE = 0o777


class Destination:
    """A folder that a checkpoint is restored into. Its methods raise OSError.

    Args:
        without: files and folders, by their real paths, that are never written.
    """

    def __init__(self, folder: Path, without: Iterable[Path] = ()) -> None:
        self.folder = folder
        self._prefix = os.path.join(folder, "")
        real = Path(os.path.realpath(folder))
        self._without = [path.relative_to(real) for path in without if path.is_relative_to(real)]
        self._warned: set[str] = set()

    def path(self, name: str) -> str:
        """Where a file of the checkpoint belongs. A name is UTF-8, whatever the locale of this process."""
        return self._prefix + os.fsdecode(name.encode("utf-8", "surrogateescape"))

    def takes(self, record: FileRecord) -> bool:
        """Whether a file belongs here: all do, but those of the store itself."""
        if not any(Path(record.path).is_relative_to(path) for path in self._without):
            return True
        self._warn(
            "store", f"not restored into {self.folder}: {record.path} and the like, the store itself is there"
        )
        return False

    def has(self, record: FileRecord) -> bool:
        """Whether there is a regular file of that name and size."""
        try:
            there = os.lstat(self.path(record.path))
        except OSError:
            return False
        is_file = stat.S_ISREG(there.st_mode) and there.st_size == record.size
        return is_file and not any(os.path.islink(self.path(above)) for above in folders_above(record.path))

    def make_room(self, files: Iterable[FileRecord], folders: Iterable[str]) -> None:
        """Make all folders, and be certain that no folder stands in the way of a file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = [*files]
        needed = dict.fromkeys(folder for record in files for folder in folders_above(record.path))
        for folder in folders:
            needed.update(dict.fromkeys((*folders_above(folder), folder)))
        for folder in needed:
            path = self.path(folder)
            if os.path.islink(path):
                self._warn("links", f"replaced by a folder, and not followed: the link {path}")
                os.unlink(path)
            if not os.path.isdir(path):
                os.mkdir(path)
        for record in files:
            target = self.path(record.path)
            if os.path.isdir(target) and not os.path.islink(target):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)

    def put(self, record: FileRecord, staged: str | Path | None) -> None:
        """Rename a file into place; None where it is there already, and has the right bytes."""
        target = self.path(record.path)
        path = staged or target
        status = os.lstat(path)
        if record.mode is not None and stat.S_IMODE(status.st_mode) != record.mode & _MODE:
            try:
                os.chmod(path, record.mode & _MODE)
            except OSError as error:
                self._warn("mode", f"{self.folder} does not keep permission bits ({error.strerror})")
        if record.mtime_ns is not None and status.st_mtime_ns != record.mtime_ns:
            try:
                os.utime(path, ns=(record.mtime_ns, record.mtime_ns))
            except OSError as error:
                self._warn("time", f"{self.folder} does not keep the times of files ({error.strerror})")
        if staged is not None:
            os.replace(staged, target)

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning("%s", message)
