"""Elastic tasks of Flyte 2: the real `a0`, the SDK's plugin, real workers, spawned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ckptptr.testing.actions import SimulatedAction

pytestmark = pytest.mark.timeout(400)  # each worker imports torch


def test_a_restart_inside_the_attempt_resumes_from_what_the_last_round_saved(tmp_path: Path) -> None:
    """Stock Flyte 2 loads what attempt N-1 saved, again. All ranks load the same, also the one that comes
    when rank 0 has saved already; torch's agent lends them no store then (TORCH_DISABLE_...)."""
    notes = tmp_path / "notes"
    notes.mkdir()
    action = SimulatedAction(
        "elastic2",
        "train",
        root=f"{tmp_path}/data",
        folder=str(Path(__file__).with_name("tasks")),
        inputs={"notes": str(notes), "dies": True},
        environ={"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"},
    )
    ended = action.run(1, timeout=170)
    assert ended.outputs == {"o0": "trained"}, ended.log
    told = {path.name: json.loads(path.read_text()) for path in notes.iterdir()}
    assert {name: each["found"] for name, each in told.items()} == {
        "round-0-rank-0": "nothing",
        "round-0-rank-1": "nothing",
        "round-1-rank-0": "of round 0",
        "round-1-rank-1": "of round 0",
    }
    assert {each["agent"] for each in told.values()} == {"False"}
    assert {each["at"] for each in told.values()} == {action.home(1)}
