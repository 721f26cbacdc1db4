"""`torch.distributed.checkpoint` by ranks of the real torchrun: killed, resumed, loaded by another number."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.errors import InvalidArgumentError

pytestmark = pytest.mark.filterwarnings("ignore")

PROJECT = Path(__file__).parents[2]
PROGRAM = Path(__file__).parent / "tasks" / "dcp_program.py"


def train(url: Path, *, dies_at: int = -1, how: str = "sync", ranks: int = 2) -> str:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"),
        *("--max-restarts=1", str(PROGRAM), str(url), str(dies_at), how),
    ]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CKPTPTR_")}
    # Without the second, a group of torch 2.13 fails after a restart: docs/flyte.md.
    more = {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, env=kept | more, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_rank_is_killed_in_a_save_and_the_result_is_that_of_a_run_that_was_not(tmp_path: Path) -> None:
    killed = train(tmp_path / "killed", dies_at=3)
    assert re.findall(r"rank \d begins at 2, attempt 1, reader says 2", killed)
    straight = train(tmp_path / "straight", how="async")
    assert (end := re.findall("ends with .*", straight)) == re.findall("ends with .*", killed) != []

    other = train(tmp_path / "killed", ranks=1)
    assert "rank 0 begins at 4" in other
    assert re.findall("ends with .*", other) == end

    with ckptptr.open(tmp_path / "killed", read_only=True) as checkpoints:
        folder = checkpoints.restore(tmp_path / "folder")
        assert [kept.step for kept in checkpoints.history()] == [4, 3, 2]
        assert checkpoints.resolution is not None
        assert checkpoints.resolution.found is not None
        manifest = checkpoints.resolution.found.manifest
    assert manifest is not None
    assert manifest.metadata == {"loss": 0.25}
    assert _sum_by_torch_alone(folder, tmp_path) == end[0].removeprefix("ends with ")


def _sum_by_torch_alone(folder: Any, tmp_path: Path) -> str:
    import torch
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    dcp_to_torch_save(folder, tmp_path / "whole.pt")
    return str(torch.load(tmp_path / "whole.pt", weights_only=True)["tensor"].sum().item())


@pytest.fixture
def dcp() -> Any:
    import torch.distributed.checkpoint as dcp

    return dcp


def test_one_process_without_a_group_saves_and_loads(dcp: Any, tmp_path: Path) -> None:
    import torch

    from ckptptr.torch import DCPReader, DCPWriter

    with ckptptr.open(tmp_path / "run") as checkpoints:
        assert not DCPReader(checkpoints).found
        for step in (1, 2):
            writer = DCPWriter(checkpoints, step=step)
            dcp.save({"a": torch.full((3,), step)}, storage_writer=writer, no_dist=True)
            assert writer.saved is not None
            assert writer.saved.step == step
    with ckptptr.open(tmp_path / "run") as checkpoints:
        state = {"a": torch.zeros(3, dtype=torch.int64)}
        dcp.load(state, storage_reader=DCPReader(checkpoints), no_dist=True)
        assert state["a"].tolist() == [2, 2, 2]
        first = checkpoints.history()[-1]
        dcp.load(state, storage_reader=DCPReader(checkpoints, checkpoint=first.reference), no_dist=True)
        assert state["a"].tolist() == [1, 1, 1]


def test_what_would_lose_data_or_does_not_work_is_refused(dcp: Any, tmp_path: Path) -> None:
    from ckptptr.torch import DCPWriter

    with ckptptr.open(tmp_path / "run") as checkpoints:
        writer = DCPWriter(checkpoints, step=1)
        with pytest.raises(InvalidArgumentError, match="loses data in silence"):
            writer.set_up_storage_writer(True, rank=0, use_collectives=False)
        with pytest.raises(InvalidArgumentError, match="checkpoint_id is not used"):
            dcp.save({}, checkpoint_id="here", storage_writer=writer, no_dist=True)
        with pytest.raises(InvalidArgumentError, match="THREAD"):
            pickle.dumps(writer)


def test_random_numbers_go_on_where_they_were(tmp_path: Path) -> None:
    import random

    import torch

    from ckptptr.torch import load, rng_state, save, set_rng_state

    with ckptptr.open(tmp_path / "run") as checkpoints:
        assert load(checkpoints) is None
        save({"rng": rng_state(), "step": 3}, checkpoints, step=3, loss=0.5)
        drawn = random.random(), torch.rand(2).tolist()
    with ckptptr.open(tmp_path / "run") as checkpoints:
        state = load(checkpoints)
        set_rng_state(state["rng"])
        assert (random.random(), torch.rand(2).tolist()) == drawn
        assert checkpoints.latest is not None
        assert checkpoints.latest.step == state["step"] == 3
