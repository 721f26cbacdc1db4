"""What `save_state` and `load_state` do besides: numbered folders, the background, errors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration

import ckptptr
from ckptptr.accelerate import load_state, save_state

pytestmark = [pytest.mark.timeout(300), pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def checkpoints(tmp_path: Path) -> Any:
    with ckptptr.open(tmp_path / "run") as opened:
        yield opened


def prepared(value: float = 0.0, **options: Any) -> tuple[Accelerator, torch.nn.Module]:
    accelerator = Accelerator(cpu=True, **options)
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, value)
    return accelerator, accelerator.prepare(model)


def numbered(folder: Path) -> dict[str, Any]:
    configuration = ProjectConfiguration(str(folder), automatic_checkpoint_naming=True, total_limit=2)
    return {"project_config": configuration}


def test_with_automatic_names_the_next_folder_has_the_next_number(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path
) -> None:
    (tmp_path / "project/checkpoints/checkpoint_4").mkdir(parents=True)  # of a run that died before its save
    accelerator, _ = prepared(1.0, **numbered(tmp_path / "project"))
    assert load_state(accelerator, checkpoints) is None
    save_state(accelerator, checkpoints, step=10)

    accelerator, model = prepared(**numbered(tmp_path / "project"))
    assert load_state(accelerator, checkpoints) == 10
    assert model.weight.item() == 1.0
    saved = save_state(accelerator, checkpoints, step=20)
    assert saved is not None
    assert saved.step == 20
    assert {path.name for path in (tmp_path / "project/checkpoints").iterdir()} == {
        "checkpoint_5",
        "checkpoint_6",
    }


def test_a_save_in_the_background_leaves_no_temporary_folder(
    checkpoints: ckptptr.Checkpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    accelerator, model = prepared(1.0)
    assert save_state(accelerator, checkpoints, step=1, metadata={"loss": 0.5}, block=False) is None
    torch.nn.init.constant_(model.weight, 2.0)
    checkpoints.wait()
    assert load_state(accelerator, checkpoints) == 1
    assert model.weight.item() == 1.0
    checkpoints.close()
    assert [*(tmp_path / "tmp").iterdir()] == []


def test_what_cannot_be_loaded_is_an_error_and_no_fresh_start(
    checkpoints: ckptptr.Checkpoints,
) -> None:
    accelerator, _ = prepared()
    checkpoints.save(b"something else")
    with pytest.raises(FileNotFoundError, match="model"):
        load_state(accelerator, checkpoints)
