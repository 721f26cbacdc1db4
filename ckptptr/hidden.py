"""Hidden folders on a user's disk, each of which belongs to one process for as long as that lives.

The owner holds a lock on its folder; the kernel releases the lock where the owner is killed. So a folder
that no process holds was left by a kill, and the next process takes over what is in it, or removes it.
Where folders cannot be locked, as on some network filesystems, nothing is taken over or removed.
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

from ckptptr.errors import LocalDiskError

HIDDEN = ".ckptptr-"
"""Names that begin so are ours (an unfinished restore, say) and are never saved."""

_TRIES = 5


class HiddenFolder:
    """A new folder of our own in `place`. Raises OSError.

    Args:
        prefix: what its name begins with, and the names of others of its kind; `HIDDEN` and more.
    """

    def __init__(self, place: Path, prefix: str) -> None:
        for _ in range(_TRIES):
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
            with suppress(FileNotFoundError, BlockingIOError):  # another took it for left behind
                self._lock = _locked(self.path)
                return
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.disown()

    def disown(self) -> None:
        """Release the lock. Where the folder keeps its name, another process takes it for left behind."""
        if self._lock is not None:
            with suppress(OSError):
                os.close(self._lock)
            self._lock = None


def left_behind(place: Path, prefix: str) -> Iterator[Path]:
    """Folders that no process holds any more; each is ours while it is looked at, and removed afterwards."""
    names: list[str] = []
    with suppress(OSError):
        names = [name for name in os.listdir(place) if name.startswith(prefix)]
    for folder in (place / name for name in names):
        with suppress(OSError):
            lock = _locked(folder)
            if lock is None:
                return
            try:
                yield folder
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def remove_left_behind(place: Path, prefix: str) -> None:
    """Remove what killed processes have left in `place`."""
    for _ in left_behind(place, prefix):
        pass


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder; None where folders cannot be locked.

    Raises:
        BlockingIOError: another process holds it.
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


def temporary_folder() -> Path:
    """Where this machine keeps temporary files.

    Raises:
        LocalDiskError: there is no place to write.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise LocalDiskError(
            "this machine has no temporary folder that can be written to",
            hint="Set TMPDIR to one, or CKPTPTR_STAGING for files of saves in the background",
        ) from error
