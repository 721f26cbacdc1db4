"""`torch.distributed.checkpoint` in one process, and random numbers; with several ranks: test_ranks.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.errors import InvalidArgumentError

pytestmark = pytest.mark.filterwarnings("ignore")


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


def test_what_would_lose_data_is_refused(dcp: Any, tmp_path: Path) -> None:
    from ckptptr.torch import DCPWriter

    with ckptptr.open(tmp_path / "run") as checkpoints:
        writer = DCPWriter(checkpoints, step=1)
        with pytest.raises(InvalidArgumentError, match="loses data in silence"):
            writer.set_up_storage_writer(True, rank=0, use_collectives=False)
        with pytest.raises(InvalidArgumentError, match="checkpoint_id is not used"):
            dcp.save({}, checkpoint_id="here", storage_writer=writer, no_dist=True)


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
