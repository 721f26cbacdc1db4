"""The newest good checkpoint in the folder where a framework looks for it, and the best ones beside it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptptr.errors import InvalidArgumentError, NotFoundError
from ckptptr.framework import checkpoints_and_manners
from ckptptr.torch.folders import Common, restore_folder

log = logging.getLogger("ckptptr")


@dataclass(frozen=True, slots=True)
class Resumed:
    """A checkpoint in a folder of this machine."""

    folder: Path
    reference: str
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path, resolution: Any) -> Resumed:
        found = resolution.found
        return cls(folder, found.reference, found.manifest.metadata if found.manifest else {})

    def refused(self, why: str) -> InvalidArgumentError:
        """The error for what another program has saved."""
        hint = "Choose another one with `ckptptr use`, or train at another place"
        return InvalidArgumentError(why, key=self.reference, hint=hint)


def resume(
    given: Any,
    place: Path,
    put: Callable[[Resumed], Path],
    best: Callable[[Path, Resumed], Mapping[Path, int]],
    *,
    needed_by: str,
) -> str | None:
    """Restore the newest good checkpoint into `place`, once on each machine; all ranks call it.

    What has its path there is replaced. One of the best that is there is left as it is; of the others those
    are restored that retention has kept.

    Args:
        put: moves what was restored to where the framework looks for it, and returns that path.
        best: the path and the step of each checkpoint that the framework counts among the best, when the
            newest one is at that path.
        needed_by: the framework's option that loads a best one; for the warning where it is not restored.

    Returns: its path; None if the store confirmed that no checkpoint exists.

    Raises: as `restore_folder`, and `put`.
    """
    checkpoints, _ = checkpoints_and_manners(given)
    place.mkdir(parents=True, exist_ok=True)

    def put_in_place(folder: Path) -> Path:
        restored = Resumed.of(folder, checkpoints.resolution)
        newest = put(restored)
        missing = {path: step for path, step in best(newest, restored).items() if not path.exists()}
        for path, step in missing.items():
            scratch = _scratch(place)
            try:
                resolution = checkpoints._restore_beside(scratch, step)
            except NotFoundError as error:
                log.warning("%s is not restored, %s needs it: %s", path.name, needed_by, error)
            else:
                put(Resumed.of(scratch, resolution))
        return newest

    restored = restore_folder(given, Common.near(place, lambda: _scratch(place)), put_in_place)
    return str(restored.folder) if restored else None


def move(source: Path, path: Path) -> Path:
    """Move a file or a folder to `path`, in place of what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return source.rename(_removed(path))


def _scratch(place: Path) -> Path:
    return _removed(place / ".ckptptr-restored")


def _removed(path: Path) -> Path:
    """The path of what is not there any more."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    return path
