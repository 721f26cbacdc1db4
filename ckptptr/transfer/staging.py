"""Where a restore keeps what it has fetched until all is there; a killed restore's is found again.

It is a hidden folder in the destination, so on the same filesystem, and a rename moves files out of it.
Its owner holds a lock on it for as long as it lives; the kernel lets go where it is killed. A folder that
nobody holds was left by a kill: the next restore takes over the files in it that were verified (they are
named by their digest, and verified again) and removes the rest. Where folders cannot be locked, as on
some network filesystems, nothing is taken over or removed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ckptptr.transfer.plan import HIDDEN

PREFIX = f"{HIDDEN}restore-"
_TRIES = 5


class Staging:
    """A folder of our own in `destination`, which is made. Raises OSError."""

    def __init__(self, destination: Path) -> None:
        self._destination = destination
        destination.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=destination))
            with suppress(FileNotFoundError, BlockingIOError):  # another took it for left behind
                self._lock = _locked(self.path)
                return
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    def verified(self, path: Path, digest: str) -> Path:
        """Say that a file in here is whole; where it is now."""
        return path.rename(path.with_name(f"{digest}-{path.name}"))

    def inherited(self) -> Iterator[tuple[str, Path]]:
        """`(digest, file)` for what killed restores had verified: moved in here, their folders removed."""
        for number, folder in enumerate(_left_behind(self._destination)):
            for file in sorted(folder.iterdir()):
                digest, dash, _ = file.name.partition("-")
                if dash:
                    yield digest, file.rename(self.path / f"{digest}-left{number}-{file.name}")

    def remove(self) -> None:
        """All of it, and whatever else was left behind."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            with suppress(OSError):
                os.close(self._lock)
            self._lock = None


def remove_left_behind(destination: Path) -> None:
    """Remove what killed restores have left in `destination`."""
    for _ in _left_behind(destination):
        pass


def _left_behind(destination: Path) -> Iterator[Path]:
    """Folders that nobody holds any more; each is ours while it is looked at, and gone afterwards."""
    names: list[str] = []
    with suppress(OSError):
        names = [name for name in os.listdir(destination) if name.startswith(PREFIX)]
    for folder in (destination / name for name in names):
        with suppress(OSError):
            lock = _locked(folder)
            if lock is None:
                return
            try:
                yield folder
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder; None where folders cannot be locked.

    Raises:
        BlockingIOError: another restore holds it.
        FileNotFoundError: it is gone.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(folder)  # or another had it meanwhile, and removed it
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, (BlockingIOError, FileNotFoundError)):
            raise
        return None
    return descriptor
