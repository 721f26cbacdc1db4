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
import logging
import math
import os
import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ckptptr.checkpoints import Checkpoint
from ckptptr.errors import InvalidArgumentError, NotFoundError
from ckptptr.session.parts import DEADLINE
from ckptptr.session.preemption import DEADLINE as GRACE
from ckptptr.torch.folders import Common, checkpoints_and_manners, restore_folder
from ckptptr.torch.training import Training

log = logging.getLogger("ckptptr")

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
        self._step: int | None = None

    def resume(self, output_dir: str | os.PathLike[str]) -> str | None:
        """The newest good checkpoint as `output_dir/checkpoint-N`, for `resume_from_checkpoint`.

        Call it on all ranks, after TrainingArguments were made. A folder of that name is replaced. Others are
        left alone: they may be torn. The best checkpoint that the Trainer knows of is restored beside it.

        Returns: None if the store confirmed that no checkpoint exists.

        Raises: as `Checkpoints.restore`.
            InvalidArgumentError: what was saved last is no folder of a Trainer.
        """
        place = Path(output_dir)
        place.mkdir(parents=True, exist_ok=True)
        restored = restore_folder(
            self._training.checkpoints,
            Common.near(place, lambda: _emptied(place / ".ckptptr-restored")),
            self._put_in_place,
        )
        return str(restored.folder) if restored else None

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
        if state.global_step == self._step:
            return  # at the end of an epoch the Trainer may save a step again
        folder = _folder(args.output_dir, state.global_step)
        self.saved = self._training.save(folder, step=state.global_step, metadata=_logged(state))
        self._step = state.global_step

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self._training.end()

    def _put_in_place(self, restored: Path) -> Path:
        """Give it the name that the Trainer knows it by, and put the best one beside it."""
        checkpoints, _ = checkpoints_and_manners(self._training.checkpoints)
        newest = checkpoints.resolution.found.reference  # type: ignore[union-attr]
        if not (restored / _STATE).is_file():
            raise InvalidArgumentError(
                f"this checkpoint has no {_STATE}, so no Trainer saved it",
                key=newest,
                hint="Choose another one with `ckptptr use`, or train at another place",
            )
        state = json.loads((restored / _STATE).read_text())
        step, best = state["global_step"], state.get("best_global_step")
        if best not in (None, step) and not _folder(restored.parent, best).is_dir():
            try:
                found = checkpoints.restore(_emptied(restored.with_name(".ckptptr-best")), step=best)
            except NotFoundError as error:
                log.warning("the best checkpoint is not restored, load_best_model_at_end needs it: %s", error)
            else:
                found.rename(_folder(restored.parent, best))  # type: ignore[union-attr]
                checkpoints.restore(restored, checkpoint=newest, only=_STATE)  # the next save builds on it
        return restored.rename(_emptied(_folder(restored.parent, step)))


def _logged(state: TrainerState) -> dict[str, float]:
    """The numbers that the Trainer logged for this step."""
    logged: dict[str, Any] = {}
    for entry in state.log_history:
        logged.update(entry if entry.get("step") == state.global_step else {})
    return {name: n for name, n in logged.items() if isinstance(n, int | float) and math.isfinite(n)}


def _folder(output_dir: Any, step: int | None) -> Path:
    return Path(output_dir, f"{PREFIX_CHECKPOINT_DIR}-{step}")


def _emptied(folder: Path) -> Path:
    """The path of a folder that is not there any more."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder
