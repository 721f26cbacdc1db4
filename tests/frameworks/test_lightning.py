"""What `Checkpoint` and `CheckpointIO` do besides: best and last, the background, signals, refusals."""

from __future__ import annotations

import logging
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

import ckptptr
from ckptptr.lightning import Checkpoint, CheckpointIO

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def checkpoints(tmp_path: Path) -> Any:
    best = ckptptr.Retention(keep_last=1, keep_best=1, best_by="a/level")
    with ckptptr.open(tmp_path / "run", retention=best) as opened:
        yield opened


class Module(LightningModule):
    """Its level is best at step 2; `at_step` is called in each step."""

    def __init__(self, at_step: Any = lambda _: None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.at_step = at_step

    def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
        self.at_step(self.global_step)
        self.log("a/level", abs(self.global_step - 1.0))
        return self.layer(batch).sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(*callbacks: ModelCheckpoint, steps: int = 4, **options: Any) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(max_steps=steps, callbacks=[*callbacks], accelerator="cpu", **quiet, **options)


def fit(callback: Checkpoint, module: Module | None = None, *, resumed: str = "", **options: Any) -> None:
    begin = resumed or callback.resume()
    trainer(callback, **options).fit(module or Module(), DataLoader(torch.ones(64, 2)), ckpt_path=begin)


def files(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def steps(checkpoints: ckptptr.Checkpoints) -> list[int | None]:
    return [kept.step for kept in checkpoints.history()]


def test_with_last_each_step_is_saved_once_and_a_new_machine_has_the_best_that_are_kept(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def callback() -> Checkpoint:
        # With a slash in the name of a metric, Lightning writes into folders of `dirpath`.
        options = {"every_n_train_steps": 1, "save_top_k": 2, "save_last": True, "monitor": "a/level"}
        return Checkpoint(checkpoints, tmp_path / "out", filename="{step}-{a/level:.0f}", **options)

    fit(callback())
    assert steps(checkpoints) == [4, 2]
    shutil.rmtree(tmp_path / "out")  # the new machine

    later = callback()
    with caplog.at_level(logging.WARNING, "ckptptr"):
        resumed = later.resume()
    assert resumed == f"{tmp_path}/out/last.ckpt"
    assert 'level=1.ckpt is not restored, ckpt_path="best" needs it' in caplog.text  # that of step 1
    best = f"{tmp_path}/out/step=2-a/level=0.ckpt"
    assert files(tmp_path / "out") == {f"{tmp_path}/out/last.ckpt", best}
    newest = checkpoints.history()[0]

    fit(later, resumed=resumed, steps=5)
    assert later.best_model_path == best
    assert torch.load(best, weights_only=False)["global_step"] == 2
    assert later.saved is not None
    assert (later.saved.step, steps(checkpoints)) == (5, [5, 2])
    manifest = checkpoints.look().found.manifest  # type: ignore[union-attr]
    assert (manifest.parent, manifest.metadata["a/level"]) == (newest.reference, 3)


def test_saves_in_the_background_are_confirmed_when_fit_returns(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    fit(Checkpoint(checkpoints, tmp_path / "out", block=False, every_n_train_steps=1))
    assert steps(checkpoints)[0] == 4


def test_sigterm_saves_the_step_and_is_heard_by_others_again_after_the_end(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    def told(step: int) -> None:
        if step == 6:
            signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ckptptr.PreemptedError, match="the last save is confirmed, LATEST is on step 7"):
        fit(Checkpoint(checkpoints, tmp_path / "out", every_n_train_steps=100), Module(told), steps=50)
    assert signal.getsignal(signal.SIGTERM) is before
    assert steps(checkpoints) == [7]


def test_sigterm_between_two_batches_of_a_step_saves_the_whole_step(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    batches: list[int] = []

    def told(step: int) -> None:
        batches.append(step)
        if len(batches) == 5:  # the first of two batches of step 3
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(ckptptr.PreemptedError, match="LATEST is on step 3"):
        fit(Checkpoint(checkpoints, tmp_path / "out"), Module(told), steps=50, accumulate_grad_batches=2)
    assert batches == [0, 0, 1, 1, 2, 2]


def test_an_error_of_the_training_leaves_signals_as_they_were(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    def fails(step: int) -> None:
        if step == 3:
            raise ValueError("of the user")

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="of the user"):
        fit(Checkpoint(checkpoints, tmp_path / "out", every_n_train_steps=2), Module(fails))
    assert signal.getsignal(signal.SIGTERM) is before
    assert steps(checkpoints) == [2]


def test_what_it_cannot_resume_from_is_refused(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_text(name)
    checkpoints.save(folder, step=1)
    callback = Checkpoint(checkpoints, tmp_path / "out")
    with pytest.raises(ckptptr.InvalidArgumentError, match="was not saved by ckptptr"):
        callback.resume()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ckptptr.InvalidArgumentError, match="init_process_group"):
        callback.resume()


def test_the_plugin_writes_no_file_and_a_new_process_finds_the_newest_and_the_best(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    def fitted(steps: int) -> tuple[CheckpointIO, str, int]:
        began: list[int] = []
        plugin = CheckpointIO(checkpoints)
        best = ModelCheckpoint(
            tmp_path / "out", every_n_train_steps=1, monitor="a/level", save_top_k=2, save_last=True
        )
        made = trainer(best, steps=steps, plugins=[plugin])
        made.fit(Module(began.append), DataLoader(torch.ones(64, 2)), ckpt_path=plugin.resume())
        return plugin, best.best_model_path, began[0]

    assert fitted(4)[2] == 0
    assert steps(checkpoints) == [4, 2]
    plugin, best, began = fitted(5)
    assert (began, steps(checkpoints)) == (4, [5, 2])
    assert plugin.load_checkpoint(best, weights_only=False)["global_step"] == 2
    assert files(tmp_path / "out") == set()
    with pytest.raises(ckptptr.NotFoundError, match="no retained checkpoint has step 1"):
        plugin.load_checkpoint(best.replace("step=2", "step=1"))
    with pytest.raises(FileNotFoundError, match="never"):
        plugin.load_checkpoint(tmp_path / "never.ckpt")
    with pytest.raises(ckptptr.InvalidArgumentError, match="storage_options"):
        plugin.save_checkpoint({}, "a.ckpt", storage_options={})
    with ckptptr.open(tmp_path / "other") as other:
        other.save(b"something else", step=9)
        with pytest.raises(ckptptr.NotFoundError, match="It has"):
            CheckpointIO(other).resume()
