"""For programs that train with Accelerate: its state, of all ranks, as one checkpoint.

    step = load_state(accelerator, checkpoints) or 0
    save_state(accelerator, checkpoints, step=step)

`checkpoints` is what `ckptptr.open` returns, or the checkpoint of a task. Importing this imports torch. The
rule: Accelerate writes and reads its folder as ever; only what is confirmed is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ckptptr.checkpoints import Checkpoint
from ckptptr.hidden import temporary_folder
from ckptptr.lifetime.temporary import TemporaryFolders
from ckptptr.session.parts import DEADLINE
from ckptptr.torch.folders import Common, restore_folder, save_folder
from ckptptr.torch.ranks import gather, together

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["load_state", "save_state"]


def save_state(
    accelerator: Accelerator,
    checkpoints: Any,
    *,
    step: int,
    metadata: Mapping[str, Any] | None = None,
    block: bool = True,
    deadline: float = DEADLINE,
    **options: Any,
) -> Checkpoint | None:
    """What `accelerator.save_state` writes, as one checkpoint of all ranks. Call it on all ranks.

    Accelerate writes into a temporary folder of each machine; with `automatic_checkpoint_naming` where that
    says, and the folder stays there.

    Args:
        checkpoints: what `ckptptr.open` returns, or the checkpoint of a task; on each rank.
        step: of the training. A step can be saved once in an attempt.
        metadata: a JSON object, of rank 0.
        block: False: return as soon as the files are safe from changes; `checkpoints.wait()` waits.
        deadline: how many seconds the save waits for the files of other machines.
        options: of `accelerator.save_state`.

    Returns: the checkpoint, on all ranks; None with `block=False`.

    Raises: as `Parts.save`; what one rank raises, all do.
    """
    temporary = TemporaryFolders()
    try:
        common = Common.near(temporary_folder(), temporary.new)
        written = accelerator.save_state(str(common.path), **options)
        return save_folder(
            checkpoints, Path(written), step=step, metadata=metadata, deadline=deadline, block=block
        )
    finally:
        temporary.remove()


def load_state(accelerator: Accelerator, checkpoints: Any, **options: Any) -> int | None:
    """`accelerator.load_state` of the newest good checkpoint. Call it on all ranks, after `prepare`.

    With `automatic_checkpoint_naming` the next folder gets the number after the highest that is there.

    Args:
        options: of `accelerator.load_state`.

    Returns: the step of the checkpoint, 0 if it has none; None if the store confirmed that there is no
        checkpoint.

    Raises: as `Checkpoints.restore`; what one rank raises, all do.
    """
    temporary = TemporaryFolders()
    try:
        restored = restore_folder(checkpoints, Common.near(temporary_folder(), temporary.new))
        if restored is not None:
            folder = str(restored.folder)
            together(lambda: accelerator.load_state(folder, **options))
    finally:
        temporary.remove()
    _number_the_next(accelerator)
    return None if restored is None else restored.step or 0


def _number_the_next(accelerator: Accelerator) -> None:
    """Accelerate counts from 0 in each process, and refuses a folder that is there."""
    configuration = accelerator.project_configuration
    if configuration.automatic_checkpoint_naming:
        folders = Path(accelerator.project_dir, "checkpoints").glob("checkpoint_*")
        numbers = [int(found[1]) for each in folders if (found := re.fullmatch(r"\D*(\d+)", each.name))]
        configuration.iteration = max(gather(max(numbers, default=-1))) + 1
