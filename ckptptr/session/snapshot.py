"""What is to be saved, as it is now, so that the caller may go on and change it.

Bytes cannot change. Files are renamed into a hidden folder on the same disk where the caller gives
them away, else copied there inside the kernel, which on XFS, Btrfs and the like shares the blocks
and costs next to nothing. The folder stands beside what is saved and not in it, since programs delete
old checkpoint folders as a whole. One that a killed process left behind is removed by the first save of
the next.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from ckptptr.errors import InvalidArgumentError, LocalDiskError
from ckptptr.session.content import Change
from ckptptr.transfer.plan import HIDDEN, Local

_NAME = f"{HIDDEN}save-"
_LOCK = "lock"
_TRIES = 10

_cleared: set[Path] = set()
"""Where this process has looked for what killed ones left behind."""


@dataclass(slots=True)
class Snapshot:
    """A change whose files nobody else touches; `release` gives the disk back."""

    change: Change
    folders: list[StagingFolder] = field(default_factory=list)

    def then(self, later: Snapshot) -> Snapshot:
        """Both, one after the other; what the later one replaces is let go of."""
        if later.change.replaces:
            self.release()
        return Snapshot(self.change.then(later.change), [*self.folders, *later.folders])

    def give_back(self) -> list[Path]:
        """Put what was given away where it came from, and release the rest.

        Returns:
            Folders that still hold something, since other files have taken its place.
        """
        kept = [folder for folder in self.folders if not folder.give_back()]
        self.folders = [folder for folder in self.folders if folder not in kept]
        self.release()
        return [folder.keep() for folder in kept]

    def release(self) -> None:
        while self.folders:
            self.folders.pop().remove()


def snapshot(change: Change, *, consume: bool) -> Snapshot:
    """Hold on to the content of `change` as it is now.

    Args:
        consume: the files are the caller's no more. What cannot be renamed (a symbolic link, a file
            beside which nothing may be written) is copied all the same, and stays.

    Raises:
        InvalidArgumentError: a file changed meanwhile.
        LocalDiskError: the disk is full, or refuses otherwise. The files are where they were.
    """
    folders: dict[Path, StagingFolder] = {}
    files: dict[str, Local] = {}
    taken = Snapshot(change)
    try:
        # Links first: what one points to may be taken away.
        for path, file in sorted(change.files.items(), key=lambda item: not _is_link(item[1])):
            if not isinstance(file.source, Path):
                files[path] = file
                continue
            with _disk(file.source):
                beside = _beside(file.source, path)
                if beside not in folders:
                    folders[beside] = StagingFolder(beside)
                    taken.folders.append(folders[beside])
                files[path] = replace(file, source=folders[beside].take(file, file.source, consume=consume))
    except BaseException:
        taken.give_back()
        raise
    taken.change = replace(change, files=files)
    return taken


class StagingFolder:
    """A hidden folder that belongs to this process as long as it holds the lock in it."""

    def __init__(self, beside: Path) -> None:
        if beside not in _cleared:  # once: the caller waits, and may stand beside thousands of files
            _cleared.add(beside)
            for old in beside.glob(f"{_NAME}*"):
                _remove_abandoned(old)
        self.path, self._lock = _new_folder(beside)
        self._taken: list[tuple[Path, Path]] = []
        self._count = 0

    def take(self, file: Local, source: Path, *, consume: bool) -> Path:
        """The file, renamed into here, or a copy of it."""
        staged = self.path / str(self._count)
        self._count += 1
        if consume and not source.is_symlink() and _device(source) == _device(self.path):
            source.rename(staged)
            self._taken.append((source, staged))
        else:
            _copy(file, source, staged)
        return staged

    def give_back(self) -> bool:
        """Put what was renamed where it came from; whether there was room for all of it."""
        for source, staged in [*self._taken]:
            with suppress(OSError):
                if not source.exists():
                    staged.rename(source)
                    self._taken.remove((source, staged))
        return not self._taken

    def keep(self) -> Path:
        """Under a name that nobody takes for abandoned; that name."""
        kept = self.path.rename(self.path.with_name(self.path.name.replace(_NAME, "ckptptr-kept-")))
        (kept / _LOCK).unlink()
        self._lock.release()
        return kept

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()


def _new_folder(beside: Path) -> tuple[Path, FileLock]:
    for _ in range(_TRIES):
        path = Path(tempfile.mkdtemp(prefix=_NAME, dir=beside))
        lock = FileLock(path / _LOCK)
        with suppress(Timeout, FileNotFoundError):  # another process took it for abandoned
            lock.acquire(timeout=0)
            if path.exists():
                return path, lock
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def _remove_abandoned(folder: Path) -> None:
    """Remove the folder of a process that is no more."""
    if not (folder / _LOCK).exists():
        return  # it is being made
    lock = FileLock(folder / _LOCK)
    with suppress(OSError):  # a timeout is one: somebody holds it
        lock.acquire(timeout=0)
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _beside(source: Path, name: str) -> Path:
    """The folder next to what is saved, if that is a place to write on the same disk."""
    top = source.absolute().parents[len(PurePosixPath(name).parts) - 1]
    here = _device(source)
    for place in (top.parent, top):
        if os.access(place, os.W_OK | os.X_OK) and _device(place) == here:
            return place
    return Path(tempfile.gettempdir())


def _copy(file: Local, source: Path, target: Path) -> None:
    with source.open("rb") as old, target.open("xb") as new:
        before = os.fstat(old.fileno())
        if not _copied_in_kernel(old.fileno(), new.fileno(), before.st_size):
            shutil.copyfileobj(old, new)
            new.flush()
        after = os.fstat(old.fileno())
        size = os.fstat(new.fileno()).st_size
    if size != file.size or (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise InvalidArgumentError(
            "the file changed while it was being saved", key=str(source), hint="Save it when it is finished"
        )


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
    return isinstance(file.source, Path) and file.source.is_symlink()


def _device(path: Path) -> int:
    return os.stat(path).st_dev


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalDiskError(
            f"this machine's disk refused to hold on to a file that is saved ({error.strerror})",
            key=str(path),
            hint="Nothing was taken; save with block=True, or make room",
        ) from error
