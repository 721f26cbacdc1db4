"""For programs that train with the `Trainer` of Transformers: each folder `checkpoint-N` is a checkpoint.

    callback = CheckpointCallback(checkpoints)
    trainer = Trainer(model, args, train_dataset=data, callbacks=[callback])
    trainer.train(resume_from_checkpoint=callback.resume(args.output_dir))

`checkpoints` is what `ckptptr.open` returns, or the checkpoint of a task. Importing this imports
Transformers. The rule: the Trainer writes and reads its folders as ever; only what is confirmed is resumed
from.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ckptptr.checkpoints import Checkpoint
from ckptptr.errors import InvalidArgumentError
from ckptptr.framework import numbers
from ckptptr.session.parts import DEADLINE
from ckptptr.session.preemption import DEADLINE as GRACE
from ckptptr.torch.resuming import Resumed, move, resume
from ckptptr.torch.training import Training

_STATE = "trainer_state.json"


class CheckpointCallback(TrainerCallback):  # type: ignore[misc]
    """Saves each `checkpoint-N` as soon as the Trainer has written it, on whichever machines its files are.

    On SIGTERM to any rank all ranks end the current step together, save, and raise PreemptedError: what
    `enable_jit_checkpoint` is for, which is refused beside it. The numbers that the Trainer logged for the
    step become the metadata: `Retention(keep_best=1, best_by="eval_loss")` keeps the best one.

    Args:
        checkpoints: what `ckptptr.open` returns, or the checkpoint of a task; on each rank.
        block: False: the training goes on while the files are uploaded; its end waits for them.
        deadline: how many seconds a save waits for the files of other machines.
        grace: seconds from SIGTERM until the last save is abandoned; None: leave signals alone, in a thread
            or inside an `on_preemption` of your own.

    Attributes:
        saved: the last checkpoint; None before, and with `block=False`.

    Raises: in `train`, as `Parts.save`; on all ranks what one of them raises.
        PreemptedError: SIGTERM came. Let the process end: after an error in `train` SIGTERM stays unheard.
    """

    def __init__(
        self,
        checkpoints: Any,
        *,
        block: bool = True,
        deadline: float = DEADLINE,
        grace: float | None = GRACE,
    ) -> None:
        self.saved: Checkpoint | None = None
        self._training = Training(checkpoints, block=block, deadline=deadline, grace=grace)

    def resume(self, output_dir: str | os.PathLike[str]) -> str | None:
        """The newest good checkpoint as `output_dir/checkpoint-N`, for `resume_from_checkpoint`.

        Call it on all ranks, after TrainingArguments were made. A folder of that name is replaced. Others are
        left alone: they may be torn. The best checkpoint that the Trainer knows of is restored beside it.

        Returns: None if the store confirmed that no checkpoint exists.

        Raises: as `Checkpoints.restore`.
            InvalidArgumentError: what was saved last is no folder of a Trainer.
        """
        where, needed_by = Path(output_dir), "load_best_model_at_end"
        return resume(self._training.checkpoints, where, _put, _best, needed_by=needed_by)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any
    ) -> None:
        if args.enable_jit_checkpoint:
            raise InvalidArgumentError(
                "CheckpointCallback itself saves when SIGTERM comes", hint="Leave out enable_jit_checkpoint"
            )
        best = _folder(args.output_dir, state.best_global_step)
        if best.is_dir():  # the path may be that of another machine
            state.best_model_checkpoint = str(best)
        self._training.begin()

    def on_step_end(
        self, _args: TrainingArguments, _state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self._training.must_end():
            control.should_save = control.should_training_stop = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, _control: TrainerControl, **_: Any
    ) -> None:
        folder = _folder(args.output_dir, state.global_step)
        self.saved = self._training.save(folder, step=state.global_step, metadata=_logged(state))

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._training.end()


def _put(restored: Resumed) -> Path:
    """Give it the name that the Trainer knows it by."""
    folder = restored.folder
    if not (folder / _STATE).is_file():
        raise restored.refused(f"this checkpoint has no {_STATE}, so no Trainer saved it")
    return move(folder, _folder(folder.parent, _state(folder)["global_step"]))


def _best(newest: Path, _restored: Resumed) -> dict[Path, int]:
    step = _state(newest).get("best_global_step")
    return {} if step is None else {_folder(newest.parent, step): step}


def _state(folder: Path) -> Any:
    return json.loads((folder / _STATE).read_text())


def _logged(state: TrainerState) -> dict[str, float]:
    """The numbers that the Trainer logged for this step."""
    logged: dict[str, Any] = {}
    for entry in state.log_history:
        logged.update(entry if entry.get("step") == state.global_step else {})
    return numbers(logged)


def _folder(output_dir: Any, step: int | None) -> Path:
    return Path(output_dir, f"{PREFIX_CHECKPOINT_DIR}-{step}")
