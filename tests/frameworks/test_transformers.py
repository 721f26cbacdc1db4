"""What `CheckpointCallback` does besides: the best model, the background, and what it refuses."""

from __future__ import annotations

import json
import logging
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import ckptptr
from ckptptr.transformers import CheckpointCallback

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def checkpoints(tmp_path: Path) -> Any:
    best = ckptptr.Retention(keep_last=1, keep_best=1, best_by="eval_level")
    with ckptptr.open(tmp_path / "run", retention=best) as opened:
        yield opened


def trainer(callback: CheckpointCallback, folder: Path, **options: Any) -> Trainer:
    data = [{"input_ids": torch.arange(6) + n, "labels": n % 2} for n in range(8)]
    config = BertConfig(
        vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    given = {"max_steps": 4, "save_steps": 1, "logging_steps": 1, "report_to": [], "use_cpu": True} | options
    args = TrainingArguments(str(folder), disable_tqdm=True, **given)
    model = BertForSequenceClassification(config)
    return Trainer(model, args, train_dataset=data, eval_dataset=data, callbacks=[callback])


def best_at_step_2(callback: CheckpointCallback, folder: Path, **options: Any) -> Trainer:
    given = {"eval_strategy": "steps", "eval_steps": 1, "load_best_model_at_end": True} | options
    made = trainer(callback, folder, metric_for_best_model="level", greater_is_better=False, **given)
    made.compute_metrics = lambda _: {"level": abs(made.state.global_step - 2)}
    return made


def steps(checkpoints: ckptptr.Checkpoints) -> list[int | None]:
    return [kept.step for kept in checkpoints.history()]


def test_the_best_model_is_restored_beside_the_newest_on_a_new_machine(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    first = best_at_step_2(CheckpointCallback(checkpoints), tmp_path / "old")
    first.train()
    assert steps(checkpoints) == [4, 2]

    callback = CheckpointCallback(checkpoints)
    newest = callback.resume(tmp_path / "new")
    assert newest == str(tmp_path / "new/checkpoint-4")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"checkpoint-4", "checkpoint-2"}
    later = best_at_step_2(callback, tmp_path / "new", max_steps=5)
    later.train(resume_from_checkpoint=newest)
    assert later.state.best_model_checkpoint == str(tmp_path / "new/checkpoint-2")
    assert steps(checkpoints) == [5, 2]
    manifest = checkpoints.look().found.manifest  # type: ignore[union-attr]
    assert (manifest.step, manifest.metadata["eval_level"]) == (5, 3)


def test_a_best_model_that_retention_released_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ckptptr.open(tmp_path / "run", retention=ckptptr.Retention(keep_last=1)) as checkpoints:
        folder = tmp_path / "folder"
        folder.mkdir()
        (folder / "trainer_state.json").write_text(json.dumps({"global_step": 8, "best_global_step": 3}))
        checkpoints.save(folder, step=8)
        with caplog.at_level(logging.WARNING, "ckptptr"):
            assert CheckpointCallback(checkpoints).resume(tmp_path / "new") == f"{tmp_path}/new/checkpoint-8"
    assert "load_best_model_at_end needs it" in caplog.text


def test_a_torn_folder_is_never_taken_and_one_of_the_same_step_is_replaced(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    for step in (2, 9):
        (tmp_path / f"out/checkpoint-{step}").mkdir(parents=True)
        (tmp_path / f"out/checkpoint-{step}/torn").write_text("torn")
    callback = CheckpointCallback(checkpoints)
    assert callback.resume(tmp_path / "out") is None
    trainer(callback, tmp_path / "elsewhere", max_steps=2).train()
    assert CheckpointCallback(checkpoints).resume(tmp_path / "out") == str(tmp_path / "out/checkpoint-2")
    assert not (tmp_path / "out/checkpoint-2/torn").exists()
    assert (tmp_path / "out/checkpoint-9/torn").exists()


def test_saves_in_the_background_are_confirmed_when_train_returns(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    trainer(CheckpointCallback(checkpoints, block=False), tmp_path / "out", save_total_limit=1).train()
    assert checkpoints.latest is not None
    assert checkpoints.latest.step == 4


def test_sigterm_saves_the_step_and_is_heard_by_others_again_after_the_end(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    told = trainer(CheckpointCallback(checkpoints), tmp_path / "out", save_steps=100, max_steps=50)
    step = told.training_step

    def stepping(*arguments: Any, **more: Any) -> Any:
        if told.state.global_step == 6:
            signal.raise_signal(signal.SIGTERM)
        return step(*arguments, **more)

    told.training_step = stepping
    with pytest.raises(ckptptr.PreemptedError, match="the last save is confirmed, LATEST is on step 7"):
        told.train()
    assert signal.getsignal(signal.SIGTERM) is before
    assert steps(checkpoints) == [7]


def test_why_the_last_save_failed_is_the_cause(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        raise ckptptr.AccessDeniedError("refused")

    monkeypatch.setattr("ckptptr.torch.training.save_folder", refused)
    with pytest.raises(ckptptr.PreemptedError) as caught:
        trainer(CheckpointCallback(checkpoints), tmp_path / "out").train()
    assert isinstance(caught.value.__cause__, ckptptr.AccessDeniedError)


def test_in_a_thread_and_without_grace_it_trains_as_ever(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    trained = trainer(CheckpointCallback(checkpoints, grace=None), tmp_path / "out")
    thread = threading.Thread(target=trained.train)
    thread.start()
    thread.join()
    assert steps(checkpoints)[0] == 4


def test_what_it_cannot_resume_from_or_does_itself_is_refused(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    checkpoints.save(b"no trainer", step=1)
    callback = CheckpointCallback(checkpoints)
    with pytest.raises(ckptptr.InvalidArgumentError, match="no Trainer saved it"):
        callback.resume(tmp_path / "out")
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(ckptptr.InvalidArgumentError, match="Leave out enable_jit_checkpoint"):
            trainer(callback, tmp_path / "out", enable_jit_checkpoint=True).train()
    finally:
        signal.signal(signal.SIGTERM, before)
