"""The plugin: what Lightning writes through its strategy goes straight into the store."""

from __future__ import annotations

import os
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from ckptptr.errors import InvalidArgumentError
from ckptptr.framework import checkpoints_and_manners, numbers
from ckptptr.lifetime.temporary import TemporaryFolders
from ckptptr.torch.ranks import gather

_FILE = "lightning.ckpt"
_STEPS = "ckptptr_steps"
"""The key of what only this plugin reads in that file: the step of each path that Lightning still knows."""


class CheckpointIO(TorchCheckpointIO):  # type: ignore[misc]
    """Each file that Lightning writes goes straight into the store: `Trainer(plugins=[CheckpointIO(...)])`.

    For one process and DDP, where no local file is wanted. FSDP, ModelParallel and DeepSpeed never call a
    CheckpointIO, so nothing would be saved: use `Checkpoint`. Each file is a checkpoint. Retention deletes,
    and not `save_top_k`; what Lightning monitors is the metadata, for `best_by`.

    Args:
        checkpoints: what `ckptptr.open` returns, or the checkpoint of a task; on each rank.
    """

    def __init__(self, checkpoints: Any) -> None:
        self._checkpoints, self._manners = checkpoints_and_manners(checkpoints)
        self._steps: dict[str, int] = {}

    def resume(self) -> str | None:
        """The newest good checkpoint, for `ckpt_path`; None if there is none. Call it on all ranks.

        Raises: as `Checkpoints.restore`.
        """
        with self._manners():
            folder = self._checkpoints.restore(only=_FILE)
        return None if folder is None else str(folder / _FILE)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if storage_options is not None:
            raise InvalidArgumentError("storage_options are for other stores", hint="Leave them out")
        step, key = checkpoint["global_step"], str(path)
        steps, states = self._steps | {key: step}, checkpoint.get("callbacks", {}).values()
        scores = {s["monitor"]: s["best_k_models"][key] for s in states if key in s.get("best_k_models", ())}
        with (
            self._manners(),
            self._checkpoints.writer(_FILE, step=step, metadata=numbers(scores)) as file,
        ):
            torch.save({**checkpoint, _STEPS: steps}, file)
        self._steps = steps

    def load_checkpoint(self, path: Any, *given: Any, **more: Any) -> dict[str, Any]:
        temporary = TemporaryFolders()
        step = gather(self._steps.get(str(path)))[0]  # only rank 0 has saved
        try:
            if step is not None and not os.path.exists(path):
                path = temporary.new() / _FILE
                with self._manners():
                    self._checkpoints._restore_beside(path.parent, step)
            loaded: dict[str, Any] = super().load_checkpoint(path, *given, **more)
        finally:
            temporary.remove()
        self._steps.update(loaded.get(_STEPS, {}))
        return loaded

    def remove_checkpoint(self, path: Any) -> None:
        self._steps.pop(str(path), None)
