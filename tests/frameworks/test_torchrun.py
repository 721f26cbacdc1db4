"""Ranks that the real torchrun starts, outside Flyte: one attempt together, and each saves its part."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ckptptr

PROGRAM = Path(__file__).parent / "tasks" / "torchrun_parts.py"


def torchrun(*arguments: str, ranks: int = 2, restarts: int = 1) -> str:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *(f"--nproc-per-node={ranks}", f"--max-restarts={restarts}", str(PROGRAM), *arguments),
    ]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("CKPTPTR_")} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_rank_is_killed_between_two_saves_and_the_next_round_resumes_from_the_step_that_all_had(
    tmp_path: Path,
) -> None:
    url = str(tmp_path / "run")
    told = torchrun(url, str(tmp_path), "3")
    assert [f"rank {rank} attempt 0 begins at step 0" in told for rank in (0, 1)] == [True, True]
    assert [f"rank {rank} attempt 1 begins at step 3" in told for rank in (0, 1)] == [True, True]
    with ckptptr.open(url, read_only=True) as checkpoints:
        assert [kept.step for kept in checkpoints.history()] == [5, 4, 3]
        folder = checkpoints.restore(tmp_path / "restored")
    assert folder is not None
    for rank in (0, 1):
        assert (folder / f"state-{rank}").read_text() == " ".join(f"{rank}.{step}" for step in range(6))


def test_a_second_start_is_the_next_attempt_of_all_ranks(tmp_path: Path) -> None:
    url = str(tmp_path / "run")
    torchrun(url, str(tmp_path), "-1", restarts=0)
    told = torchrun(url, str(tmp_path), "-1", restarts=0)
    assert [f"rank {rank} attempt 1 begins at step 6" in told for rank in (0, 1)] == [True, True]
