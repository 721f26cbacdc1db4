"""A snapshot: the content of a save as it is now, so that the caller may go on and change it.

Bytes cannot change. Files that the caller gives away are renamed into a hidden folder on the same disk. All
others are copied there inside the kernel, which on XFS, Btrfs and the like shares the blocks and costs next
to nothing. The folder stands beside what is saved and not in it, since programs delete old checkpoint
folders as a whole. The first save of a process removes what killed ones left behind.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path, PurePosixPath

from ckptptr.errors import LocalDiskError
from ckptptr.hidden import HIDDEN, HiddenFolder, remove_left_behind, temporary_folder
from ckptptr.session.content import Change
from ckptptr.settings import STAGING
from ckptptr.transfer.digest import digest_of
from ckptptr.transfer.folder import one_file, tell_missing
from ckptptr.transfer.plan import MIB, Local
from ckptptr.transfer.steady import GoneError, Steady, steadily

log = logging.getLogger("ckptptr")

PREFIX = f"{HIDDEN}save-"
_KEPT = "ckptptr-kept-"

_cleared: set[Path] = set()
"""Where this process has removed what killed ones left behind."""


@dataclass(slots=True)
class Snapshot:
    """A change whose files no other process or thread touches; `release` gives the disk back."""

    change: Change
    folders: list[SnapshotFolder] = field(default_factory=list)

    def then(self, later: Snapshot) -> Snapshot:
        """Both, one after the other; what the later one replaces is released."""
        if later.change.replaces:
            self.release()
        return Snapshot(self.change.then(later.change), [*self.folders, *later.folders])

    def give_back(self) -> None:
        """Put what was given away where it came from, and release the rest.

        Where other files have taken its place it is kept, and the log says in which folder. A disk that
        refuses even that is told there too: what the caller raises is why the save failed.
        """
        kept = [folder for folder in self.folders if not folder.give_back()]
        self.folders = [folder for folder in self.folders if folder not in kept]
        self.release()
        for folder in kept:
            try:
                log.warning(
                    "files that were given to it cannot be put back and are kept in %s", folder.keep()
                )
            except OSError as error:
                log.warning(
                    "files that were given to it can neither be put back nor kept; they were in %s (%s)",
                    folder.path,
                    error.strerror,
                )

    def release(self) -> None:
        while self.folders:
            self.folders.pop().remove()


def snapshot(change: Change, *, consume: bool) -> Snapshot:
    """Take the content of `change` as it is now.

    Args:
        consume: the caller gives the files away. What cannot be renamed (a symbolic link, a file
            beside which nothing may be written) is copied, and stays.

    Raises:
        LocalDiskError: the disk is full, or refuses otherwise; a file changes again and again, or is gone
            with its folder. The files are where they were.
    """
    folders: dict[Path, SnapshotFolder] = {}
    files: dict[str, Local] = {}
    gone: list[Local] = []
    taken = Snapshot(change)
    try:
        # Links first: what one points to may be taken away.
        for path, file in sorted(change.files.items(), key=lambda item: not _is_link(item[1])):
            if not isinstance(file.source, str):
                files[path] = file
                continue
            source = Path(file.source)
            if not os.path.lexists(source) and file.top is not None and file.top.is_dir():
                gone.append(file)
                continue
            with _disk(source):
                place = _place(source, path)
                if place not in folders:
                    folders[place] = SnapshotFolder(place)
                    taken.folders.append(folders[place])
                held = folders[place].take(file, source, consume=consume)
            if held is None:
                gone.append(file)
            else:
                files[path] = held
    except BaseException:
        taken.give_back()
        raise
    tell_missing(gone)
    taken.change = replace(change, files=files)
    return taken


class SnapshotFolder(HiddenFolder):
    """A folder of our own in `beside`, with files that were taken there. Raises OSError."""

    def __init__(self, beside: Path) -> None:
        if beside not in _cleared:  # once: the caller waits, and may stand beside thousands of files
            _cleared.add(beside)
            remove_left_behind(beside, PREFIX)
        super().__init__(beside, PREFIX)
        self._taken: list[tuple[Path, Path]] = []
        self._count = 0

    def take(self, file: Local, source: Path, *, consume: bool) -> Local | None:
        """The file, renamed into here, or a copy of it; None where it was deleted, but not its folder."""
        staged = self.path / str(self._count)
        self._count += 1
        if consume and not source.is_symlink() and _device(source.parent) == _device(self.path):
            if steadily(file, lambda *_: self._rename(source, staged)) is None:
                return None
            return one_file(staged, file.path)
        done = steadily(file, lambda file, may_grow: _copy(file, source, staged, may_grow=may_grow))
        # The copy does not change, and must not be missing.
        return done and replace(done[0], source=str(staged), top=None, inode=0)

    def _rename(self, source: Path, staged: Path) -> None:
        try:
            source.rename(staged)
        except FileNotFoundError as error:
            raise GoneError("there is no such file any more", key=str(source)) from error
        self._taken.append((source, staged))

    def give_back(self) -> bool:
        """Put what was renamed where it came from; whether there was room for all of it."""
        for source, staged in [*self._taken]:
            with suppress(OSError):
                if not source.exists():
                    staged.rename(source)
                    self._taken.remove((source, staged))
        return not self._taken

    def keep(self) -> Path:
        """Give it a name that is not ours to remove; that name."""
        kept = self.path.rename(self.path.with_name(self.path.name.replace(PREFIX, _KEPT)))
        self.disown()
        return kept


def _place(source: Path, name: str) -> Path:
    """Where the snapshot of a file is made: `CKPTPTR_STAGING`; else on the disk that the file is on, where no
    program deletes it: the temporary folder, or the highest folder above that we may write to; else a copy is
    made in the temporary folder."""
    if setting := STAGING.read():
        return Path(setting)
    here = _device(source.parent)
    top = source.absolute().parents[len(PurePosixPath(name).parts) - 1]
    for place in (temporary_folder(), *[*reversed(top.parents)][1:], top):
        if os.access(place, os.W_OK | os.X_OK) and _device(place) == here:
            return place
    return temporary_folder()


def _copy(file: Local, source: Path, target: Path, *, may_grow: bool) -> None:
    with (
        target.open("wb", buffering=0) as new,
        Steady(file, str(source), may_grow=may_grow, digest=lambda: digest_of(target)) as old,
    ):
        if not _copied_in_kernel(old.fileno(), new.fileno(), file.size):
            _copied_here(old, new, file.size)


def _copied_here(source: FileIO, target: FileIO, size: int) -> None:
    while size and (data := source.read(min(MIB, size))):
        size -= len(data)
        while data:
            data = data[target.write(data) :]


def _copied_in_kernel(source: int, target: int, size: int) -> bool:
    """Whether the kernel made the copy: sharing the blocks where the filesystem can."""
    if not hasattr(os, "copy_file_range"):
        return False
    left = size
    while left:
        try:
            copied = os.copy_file_range(source, target, left)
        except OSError:
            if left == size:
                return False  # not here, or not between these two
            raise
        if copied == 0:
            break
        left -= copied
    return True


def _is_link(file: Local) -> bool:
    return isinstance(file.source, str) and os.path.islink(file.source)


def _device(path: Path) -> int:
    return os.stat(path).st_dev


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise GoneError(
            "there is no such file any more", key=str(path), hint="Nothing was taken; delete it after save()"
        ) from error
    except OSError as error:
        raise LocalDiskError(
            f"this machine's disk refused to hold on to a file that is saved ({error.strerror})",
            key=str(path),
            hint="Nothing was taken; save with block=True, or make room",
        ) from error
