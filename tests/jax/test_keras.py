"""What `BackupAndRestore` does besides: numbers, batches, the background, SIGTERM, and what it refuses."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import ckptptr
from ckptptr.keras import BackupAndRestore

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]

ROWS = np.random.default_rng(3).normal(size=(32, 4)).astype("float32")


@pytest.fixture
def checkpoints(tmp_path: Path) -> Any:
    with ckptptr.open(tmp_path / "run", retention=ckptptr.Retention(keep_last=9)) as opened:
        yield opened


def fit(*callbacks: Any, epochs: int = 3, **options: Any) -> keras.Model:
    """4 batches an epoch."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    given = {"batch_size": 8, "verbose": 0} | options
    model.fit(ROWS, ROWS.sum(axis=1), epochs=epochs, callbacks=list(callbacks), **given)
    return model


def steps(checkpoints: ckptptr.Checkpoints) -> list[int | None]:
    return [kept.step for kept in checkpoints.history()]


def metadata(checkpoints: ckptptr.Checkpoints) -> dict[str, Any]:
    found = checkpoints.look().found
    assert found is not None
    assert found.manifest is not None
    return dict(found.manifest.metadata)


def at_batch(number: int, what: Any) -> keras.callbacks.Callback:
    """Calls `what` when that many batches are trained."""
    left = iter(range(number, 0, -1))
    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: next(left, 0) == 1 and what())


def test_what_keras_logged_for_the_epoch_is_the_metadata(checkpoints: ckptptr.Checkpoints) -> None:
    callback = BackupAndRestore(checkpoints)
    fit(callback, epochs=2, validation_split=0.25)
    assert steps(checkpoints) == [2, 1]
    assert callback.saved is not None
    assert callback.saved.step == 2
    assert metadata(checkpoints).keys() == {"epoch", "loss", "val_loss"}
    assert metadata(checkpoints)["epoch"] == 2


def test_after_its_end_a_training_is_at_its_end_and_more_epochs_go_on(
    checkpoints: ckptptr.Checkpoints,
) -> None:
    done = fit(BackupAndRestore(checkpoints))
    again = fit(BackupAndRestore(checkpoints))
    assert again.history.epoch == []
    assert [value.tolist() for value in again.get_weights()] == [v.tolist() for v in done.get_weights()]
    assert fit(BackupAndRestore(checkpoints), epochs=4).history.epoch == [3]
    assert steps(checkpoints) == [4, 3, 2, 1]


def test_a_save_in_the_middle_of_an_epoch_names_that_epoch_also_after_a_resume(
    checkpoints: ckptptr.Checkpoints,
) -> None:
    """Keras alone says 0 until the epoch ends: a kill then trains all epochs again."""
    fit(BackupAndRestore(checkpoints, 3), epochs=2)
    assert steps(checkpoints) == [6, 3]
    assert metadata(checkpoints)["epoch"] == 1

    class DiedError(Exception):
        pass

    def die() -> None:
        raise DiedError

    with pytest.raises(DiedError):
        fit(BackupAndRestore(checkpoints, 3), at_batch(3, die), epochs=2)
    assert steps(checkpoints) == [9, 6, 3]
    assert metadata(checkpoints)["epoch"] == 1
    assert fit(BackupAndRestore(checkpoints, 3), epochs=2).history.epoch == [1]


def test_saves_in_the_background_are_confirmed_when_fit_returns(checkpoints: ckptptr.Checkpoints) -> None:
    callback = BackupAndRestore(checkpoints, block=False)
    straight = fit(callback)
    assert callback.saved is None
    assert checkpoints.latest is not None
    assert checkpoints.latest.step == 3
    resumed = fit(BackupAndRestore(checkpoints))
    assert [value.tolist() for value in resumed.get_weights()] == [v.tolist() for v in straight.get_weights()]


def test_a_sigterm_ends_fit_with_the_last_epoch_saved(checkpoints: ckptptr.Checkpoints) -> None:
    told = at_batch(10, lambda: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(ckptptr.PreemptedError), checkpoints.on_preemption():
        fit(told, BackupAndRestore(checkpoints))
    assert steps(checkpoints) == [2, 1]
    assert fit(BackupAndRestore(checkpoints)).history.epoch == [2]


def test_a_later_fit_of_the_same_callback_takes_nothing_from_this_machine(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    callback = BackupAndRestore(checkpoints)
    fit(callback)
    (tmp_path / "run/LATEST").write_text("none\n")
    assert fit(callback).history.epoch == [0, 1, 2]


def test_of_several_processes_rank_0_saves(
    checkpoints: ckptptr.Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    fit(BackupAndRestore(checkpoints))
    assert checkpoints.look().found is None


def test_what_is_no_backup_of_keras_is_an_error_and_no_fresh_start(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/training_metadata.json").write_text(json.dumps({"epoch": 2}))
    for content in (b"something else", tmp_path / "folder"):
        checkpoints.save(content)
        with pytest.raises(ckptptr.InvalidArgumentError, match="BackupAndRestore did not save it"):
            fit(BackupAndRestore(checkpoints))


@pytest.mark.parametrize("save_freq", [0, -1, False, 2.5, "batch"])
def test_a_frequency_that_keras_would_take_for_each_batch_is_refused(
    checkpoints: ckptptr.Checkpoints, save_freq: Any
) -> None:
    with pytest.raises(ckptptr.InvalidArgumentError, match="save_freq"):
        BackupAndRestore(checkpoints, save_freq)
