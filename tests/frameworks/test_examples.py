"""Models trained through deaths, as the commands of the examples say, end as if nothing had happened."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint
from tests.examples.texts import imported, simulated

# All of it runs pyflyte-execute, and on a busy machine torch is imported for half a minute.
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a task leaves in its working directory stays out of the project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # else threads wait for each other where tests share the cores


def restored(life: dict[str, Any]) -> list[int | None]:
    """The step that each attempt restored."""
    return [attempt["restored"] and attempt["restored"]["step"] for attempt in life["attempts"]]


def check(life: dict[str, Any], undisturbed: str) -> None:
    assert life["finished"]
    assert life["resumed"]
    assert all(attempt["came"] for attempt in life["attempts"] if attempt["death"])
    assert life["outputs"] == {"o0": undisturbed}


def test_torch_ends_with_the_weights_of_a_run_that_nobody_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    life = simulated("torch_training.py")
    check(life, imported("torch_training", monkeypatch).train(epochs=6))
    assert restored(life) == [None, None, 2]
    assert life["repeated_steps"] == [3]


def test_torch_saves_in_the_background_and_ends_at_a_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    life = simulated("torch_preemption.py")
    check(life, imported("torch_preemption", monkeypatch).train(epochs=25))
    assert [attempt["ending"] for attempt in life["attempts"]] == ["recoverable", "finished"]
    assert "the last save is confirmed" in life["attempts"][0]["reason"]


def test_a_sigterm_in_the_middle_of_an_epoch_saves_the_last_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = imported("torch_preemption", monkeypatch)
    undisturbed = module.train(epochs=14)

    def attempt(number: int) -> str:
        ours = PointerCheckpoint("", None, lambda: ckptptr.open(str(tmp_path / "run"), attempt=number))
        monkeypatch.setattr(module, "checkpoint", lambda: ours)
        return module.train.task_function(epochs=14)

    class Interrupted(module.Training):
        def step(self) -> float:
            if self.epoch == 12:
                module.checkpoint().wait()  # until the save of epoch 10 is out of the way
                with monkeypatch.context() as patch:
                    patch.setattr(self.optimizer, "step", lambda: signal.raise_signal(signal.SIGTERM))
                    super().step()
            return super().step()

    with monkeypatch.context() as patch:
        patch.setattr(module, "Training", Interrupted)
        with pytest.raises(ckptptr.PreemptedError, match="LATEST is on step 12"):
            attempt(0)
    assert attempt(1) == undisturbed


def test_scikit_learn_goes_on_with_the_next_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    life = simulated("sklearn_partial_fit.py")
    check(life, imported("sklearn_partial_fit", monkeypatch).fit(batches=6))
    assert life["repeated_steps"] == [4]


def test_lightgbm_adds_the_trees_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    life = simulated("lightgbm_boosting.py")
    check(life, imported("lightgbm_boosting", monkeypatch).boost(rounds=30))
    assert restored(life) == [None, 10, 10]
    assert life["repeated_steps"] == [15]
