"""The callback: a `ModelCheckpoint` whose files and folders are checkpoints of all ranks."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from ckptptr.checkpoints import Checkpoint as Saved
from ckptptr.errors import PreemptedError
from ckptptr.framework import numbers
from ckptptr.session.parts import DEADLINE
from ckptptr.session.preemption import DEADLINE as GRACE
from ckptptr.torch.resuming import Resumed, move, resume
from ckptptr.torch.training import Training

_OURS = "lightning"
"""The key, in the metadata, of what only this callback reads: the path of the file below `dirpath`, and of
each of the best *k* its path and its step."""


class Checkpoint(ModelCheckpoint):  # type: ignore[misc]
    """A `ModelCheckpoint` whose files, or folders of shards, are saved when all ranks have written them.

    Give a Trainer one. Of the files of one step (`save_last=True` writes two) the first is saved. On SIGTERM
    to any rank all ranks end the current step together, save, and raise PreemptedError; Lightning's own
    handler is put aside: it would wait for ever if only one rank is told. The metrics of the step become the
    metadata: `Retention(keep_best=3, best_by="val_loss")` keeps the best ones.

    Args:
        checkpoints: what `ckptptr.open` returns, or the checkpoint of a task; on each rank.
        dirpath: a folder of this machine, where Lightning writes; the same in each attempt.
        block: False: the training goes on while the files are uploaded; its end waits for them.
        deadline: how many seconds a save waits for the files of other machines.
        grace: seconds from SIGTERM until the last save is abandoned; None: leave signals alone.
        options: of `ModelCheckpoint`.

    Attributes:
        saved: the last checkpoint; None before, and with `block=False`.

    Raises: in `fit`, as `Parts.save`; on all ranks what one of them raises.
        PreemptedError: SIGTERM came.
    """

    def __init__(
        self,
        checkpoints: Any,
        dirpath: str | os.PathLike[str],
        *,
        block: bool = True,
        deadline: float = DEADLINE,
        grace: float | None = GRACE,
        **options: Any,
    ) -> None:
        super().__init__(dirpath, **options)
        self.saved: Saved | None = None
        self._training = Training(checkpoints, block=block, deadline=deadline, grace=grace)
        self._best_steps: dict[str, int] = {}
        self._stepped = 0

    def resume(self) -> str | None:
        """The newest good checkpoint, in `dirpath`, for `ckpt_path`; those of the best *k* are beside it.

        Call it on all ranks; several must have a process group (`torch.distributed.init_process_group`),
        which Lightning then takes as it is. Other files are left alone: they may be torn.

        Returns: None if the store confirmed that no checkpoint exists.

        Raises: as `Checkpoints.restore`.
            InvalidArgumentError: what was saved last was not saved by this; several ranks have no group.
        """
        where, needed_by = Path(self.dirpath), 'ckpt_path="best"'
        return resume(self._training.checkpoints, where, self._put, self._best, needed_by=needed_by)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._heard_before = signal.getsignal(signal.SIGTERM)  # Lightning's handler comes after this

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._stepped = trainer.global_step
        self._training.begin(instead=self._heard_before)

    def on_train_batch_end(self, trainer: Trainer, *given: Any, **more: Any) -> None:
        super().on_train_batch_end(trainer, *given, **more)
        step, before = trainer.global_step, self._stepped
        self._stepped = step
        # Between two batches of one step, gradients would be lost.
        if step != before and self._training.must_end() and step != self._last_global_step_saved:
            name = f"preempted-step={step}{self.FILE_EXTENSION}"
            self._save_checkpoint(trainer, os.path.join(self.dirpath, name))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self._training.end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        try:
            super().on_exception(trainer, pl_module, exception)
        finally:
            with suppress(PreemptedError):  # which is on its way already, or comes too late
                self._training.abandon()

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        super()._save_checkpoint(trainer, filepath)
        path, step = Path(trainer.strategy.broadcast(filepath)), trainer.global_step
        steps = self._best_steps | {self._name(path): step}
        best = {self._name(each) for each in self.best_k_models} & steps.keys()
        self._best_steps = {name: steps[name] for name in sorted(best)}
        ours = {"file": self._name(path), "best": self._best_steps}
        metadata = {**numbers(trainer.callback_metrics), _OURS: ours}
        self.saved = self._training.save(path.parent, step=step, metadata=metadata, only=path.name)

    def _name(self, path: str | Path) -> str:
        return os.path.relpath(path, self.dirpath)

    def _put(self, restored: Resumed) -> Path:
        if _OURS not in restored.metadata:
            raise restored.refused("this checkpoint was not saved by ckptptr.lightning.Checkpoint")
        path = Path(self.dirpath, restored.metadata[_OURS]["file"])
        move(restored.folder / path.name, path)
        restored.folder.rmdir()
        return path

    def _best(self, _newest: Path, restored: Resumed) -> dict[Path, int]:
        self._best_steps = dict(restored.metadata[_OURS]["best"])
        return {Path(self.dirpath, name): step for name, step in self._best_steps.items()}
