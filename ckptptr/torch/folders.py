"""A folder that a framework writes on all ranks, as one checkpoint; and back, once on each machine.

Each rank sees the files of its own machine, and on a shared disk also those of others. Of each path the
lowest rank that sees it saves the file. So no machine needs to know which others share its disk.

All functions are collective: every rank calls them at the same time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

from ckptptr.checkpoints import Checkpoint
from ckptptr.errors import InvalidArgumentError, PreemptedError
from ckptptr.framework import checkpoints_and_manners
from ckptptr.session.content import change_of
from ckptptr.session.parts import DEADLINE
from ckptptr.torch.ranks import gather, is_one_of_several, rank, together

_MARK = ".ckptptr-rank-"


@dataclass(frozen=True, slots=True)
class Restored:
    """Where the files are, on this machine, and the `step` with which they were saved."""

    folder: Path
    step: int | None


@dataclass(frozen=True, slots=True)
class Common:
    """A folder that all ranks of one machine, or of one shared disk, have together; `leader` made it."""

    path: Path
    leader: int

    @property
    def is_ours(self) -> bool:
        return self.leader == rank()

    @classmethod
    def near(cls, place: Path, make: Callable[[], Path]) -> Common:
        """What `make` returns on one of the ranks that see the same `place`, which is an existing folder.

        Raises:
            InvalidArgumentError: these are several ranks, and they have no process group.
        """
        if os.environ.get("WORLD_SIZE", "1") != "1" and not is_one_of_several():
            raise InvalidArgumentError(
                "the ranks do not know each other yet",
                hint="Call torch.distributed.init_process_group first, or what does so in your framework",
            )
        mark = place / f"{_MARK}{uuid4().hex}"
        try:
            together(mark.touch)
            marks = gather(mark.name)
            leader = next(number for number, name in enumerate(marks) if (place / name).exists())
            made = together(lambda: make() if leader == rank() else None)[leader]
        finally:
            mark.unlink(missing_ok=True)
        return cls(made or place, leader)


def preempted(given: Any, message: str) -> NoReturn:
    """Raise PreemptedError, as the task's SDK wants it."""
    with checkpoints_and_manners(given)[1]():
        raise PreemptedError(message)


def save_folder(
    given: Any,
    folder: Path,
    *,
    step: int,
    metadata: Mapping[str, Any] | None = None,
    deadline: float = DEADLINE,
    block: bool = True,
    only: str = "",
) -> Checkpoint | None:
    """Save a folder that the ranks have written, each its own files, as one checkpoint.

    Args:
        only: the name of one file or folder in it: nothing else is saved.

    Returns: the checkpoint, on all ranks; None with `block=False`.

    Raises: as `Parts.save`; what one rank raises, all do.
    """
    gather(None)  # every rank has written its files
    selection = checkpoints_and_manners(given)[0]._session.selection(None, None)
    if only:
        selection = replace(selection, ignore=(*selection.ignore, "/*", f"!/{_escaped(only)}"))
    seen = together(lambda: {*change_of(folder, selection).files} if folder.is_dir() else set())
    others = set().union(*seen[: rank()]) & seen[rank()]
    writers = [0]
    taken = set(seen[0])
    for number, paths in enumerate(seen[1:], 1):
        if paths - taken:
            writers.append(number)
            taken |= paths

    def save() -> Checkpoint | None:
        if rank() not in writers:
            return None
        parts = given.parts(writers.index(rank()), len(writers), deadline=deadline)
        ignored = (*selection.ignore, *(f"/{_escaped(path)}" for path in sorted(others)))
        saved = parts.save(folder, step=step, metadata=metadata, block=block, ignore=ignored)
        return saved if isinstance(saved, Checkpoint) else None

    return together(save)[0]


def restore_folder(
    given: Any, common: Common, put_in_place: Callable[[Path], Path] = lambda folder: folder
) -> Restored | None:
    """Restore the newest good checkpoint into a folder of each machine; rank 0 chooses it, for all.

    Args:
        put_in_place: called once on each machine with the restored folder; returns where the files are then.

    Returns: None if the store confirmed that no checkpoint exists.

    Raises: as `Checkpoints.restore`; what one rank raises, all do.
    """
    checkpoints, manners = checkpoints_and_manners(given)

    def restored(reference: str | None) -> tuple[str, Restored] | None:
        if checkpoints.restore(common.path, checkpoint=reference) is None:
            return None
        found: Any = checkpoints.resolution.found  # type: ignore[union-attr]
        step = found.manifest.step if found.manifest else None
        return found.reference, Restored(put_in_place(common.path), step)

    with manners():
        first = together(lambda: restored(None) if rank() == 0 else None)[0]
        if first is None:
            return None
        machines = together(lambda: restored(first[0]) if common.is_ours and rank() != 0 else None)
    machines[0] = first
    return machines[common.leader][1]  # type: ignore[index]


def _escaped(path: str) -> str:
    """As a pattern of `.gitignore` that matches only this path."""
    return "".join(f"\\{sign}" if sign in "\\*?[]!# " else sign for sign in path)
