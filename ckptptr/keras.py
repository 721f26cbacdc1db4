"""For programs that train with `fit` of Keras: each backup of the training is a checkpoint.

    model.fit(x, y, epochs=10, callbacks=[BackupAndRestore(checkpoints)])

`checkpoints` is what `ckptptr.open` returns, or the checkpoint of a task. Importing this imports Keras. The
rule: Keras writes and reads its files as ever; only what is confirmed is trained on from.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ckptptr.checkpoints import Checkpoint
from ckptptr.errors import InvalidArgumentError
from ckptptr.framework import checkpoints_and_manners, numbers
from ckptptr.lifetime.temporary import TemporaryFolders

_WEIGHTS, _EPOCH = "latest.weights.h5", "training_metadata.json"
_RANDOM = "random_numbers.json"


class BackupAndRestore(keras.callbacks.BackupAndRestore):  # type: ignore[misc]
    """Saves weights, optimizer, epoch and random numbers; `fit` begins with the newest good checkpoint.

    Put it last in the list of callbacks. At the end of `fit` the last checkpoint stays, so `epochs` is the
    number of all epochs. The numbers that Keras logged become the metadata, with `epoch`:
    `Retention(keep_best=1, best_by="val_loss")` keeps the best one.

    Beside what Keras restores, it restores the random numbers of the model's layers, and those of numpy,
    which give the order of shuffled arrays. The position in an epoch is not restored, nor what other
    callbacks count.

    Args:
        checkpoints: what `ckptptr.open` returns, or the checkpoint of a task. Of several processes that with
            `RANK` 0 saves.
        save_freq: `epoch`: save when an epoch ends, with its number as `step`. A number: save when that many
            batches were trained, with the number of all as `step`; the epoch in which the training is killed
            is trained from its first batch again.
        block: False: the training goes on while the files are uploaded; the end of `fit` waits for them.

    Attributes:
        saved: the last checkpoint; None before, and with `block=False`.

    Raises: in `fit`, as `Checkpoints.restore` and `Checkpoints.save`.
        InvalidArgumentError: what was saved last is no backup of Keras.
    """

    def __init__(self, checkpoints: Any, save_freq: str | int = "epoch", *, block: bool = True) -> None:
        if save_freq != "epoch" and (type(save_freq) is not int or save_freq < 1):
            raise InvalidArgumentError(f"save_freq is {save_freq!r}, not 'epoch' or a number above 0")
        self.saved: Checkpoint | None = None
        self._checkpoints, self._manners = checkpoints_and_manners(checkpoints)
        self._block = block
        self._logs: Mapping[str, Any] = {}
        self._temporary = TemporaryFolders()
        super().__init__(str(self._temporary.new()), save_freq, delete_checkpoint=False)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        folder = Path(self.backup_dir)
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier `fit`
        with self._manners():
            found = self._checkpoints.restore(folder)
        if found is not None and not all((folder / name).is_file() for name in (_WEIGHTS, _EPOCH)):
            raise InvalidArgumentError(
                f"this checkpoint has no {_WEIGHTS} with its {_EPOCH}, so BackupAndRestore did not save it",
                hint="Choose another one with `ckptptr use`, or train at another place",
            )
        super().on_train_begin(logs)
        if (folder / _RANDOM).is_file():
            self._set_random_numbers(json.loads((folder / _RANDOM).read_text()))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._current_epoch = epoch  # Keras alone counts from 0 again until the epoch ends
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._logs = logs or {}
        super().on_epoch_end(epoch, logs)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._logs = logs or {}
        super().on_train_batch_end(batch, logs)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002 - it deletes nothing
        with self._manners():
            self._checkpoints.wait()

    def _save_model(self) -> None:
        super()._save_model()
        folder = Path(self.backup_dir)
        (folder / _RANDOM).write_text(json.dumps(self._random_numbers()))
        if os.environ.get("RANK", "0") != "0":
            return
        by_epoch = self.save_freq == "epoch"
        with self._manners():
            saved = self._checkpoints.save(
                folder,
                step=self._current_epoch if by_epoch else int(self.model.optimizer.iterations),
                metadata={**numbers(self._logs), "epoch": self._current_epoch},
                block=self._block,
                consume=not self._block,
            )
        self.saved = saved if isinstance(saved, Checkpoint) else None

    def _random_numbers(self) -> dict[str, Any]:
        kind, keys, *more = tuple[Any, ...](np.random.get_state())
        seeds = [keras.ops.convert_to_numpy(seed).tolist() for seed in self._seeds()]
        return {"layers": seeds, "numpy": [kind, keys.tolist(), *more]}

    def _set_random_numbers(self, state: Mapping[str, Any]) -> None:
        np.random.set_state(tuple(state["numpy"]))
        for seed, value in zip(self._seeds(), state["layers"], strict=False):  # the model may have changed
            seed.assign(value)

    def _seeds(self) -> list[Any]:
        """The states from which the layers draw random numbers; Keras saves them in no file."""
        others = {id(each) for each in (*self.model.weights, *self.model.metrics_variables)}
        return [each for each in self.model.variables if id(each) not in others]
