"""A training with Keras is killed in the middle of a save; what is trained then is what a run without a kill
trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.testing.actions import SimulatedAction
from ckptptr.testing.attempts import SimulatedNode
from ckptptr.testing.deaths import parse
from tests.frameworks.launch import PROJECT
from tests.jax.tasks.training import train

pytestmark = [pytest.mark.timeout(400), pytest.mark.filterwarnings("ignore")]

TASKS = Path(__file__).with_name("tasks")
FILES = ["latest.weights.h5", "random_numbers.json", "training_metadata.json"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The losses of a run that nothing disturbs, a line for each epoch."""
    with ckptptr.open(tmp_path_factory.mktemp("straight")) as checkpoints:
        lines = train(checkpoints).split("\n")
    assert [line.partition(":")[0] for line in lines] == [f"epoch {n}" for n in range(1, 5)]
    return lines


def test_a_kill_between_any_two_files_of_keras_leaves_the_checkpoint_before(
    straight: list[str], tmp_path: Path
) -> None:
    # Each fork takes what the first has compiled.
    compiled = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = subprocess.run(
        [sys.executable, str(TASKS / "any_two_files.py"), str(tmp_path)],
        env={**os.environ, **compiled, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=350,
    )
    assert done.returncode == 0, done.stderr
    resumed = "\n".join(straight[2:])
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "straight": "\n".join(straight),
        "files": FILES,
        "after": {f"{kind} {number}": resumed for kind in ("file", "upload") for number in (1, 2, 3)},
    }


@pytest.mark.parametrize(
    ("simulated", "module"),
    [(SimulatedNode, "of_flyte"), (SimulatedAction, "of_flyte2")],
    ids=["Flyte", "Flyte 2"],
)
def test_the_next_attempt_of_a_task_with_keras_has_the_losses_of_a_run_without_a_kill(
    simulated: Any, module: str, straight: list[str], tmp_path: Path
) -> None:
    task = simulated(module, "fit", str(tmp_path / "data"), str(TASKS))
    first = task.first_attempt
    assert task.run(first, parse("in save 3"), timeout=200).outputs is None
    done = task.run(first + 1, timeout=200)
    assert done.outputs is not None, done.log
    assert done.outputs["o0"].split("\n") == straight[2:]
