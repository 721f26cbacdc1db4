"""The examples for Keras, Orbax and XGBoost, as their own texts say; and Orbax through a kill."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.texts import EXAMPLES, bash, commands, imported, simulated, surroundings
from tests.frameworks.test_examples import _elsewhere, check, restored

pytestmark = pytest.mark.timeout(400)

__all__ = ["_elsewhere"]  # a fixture

KILLED = """
import os, runpy, signal, sys
from ckptptr.stores.open import wrap_every_store
from ckptptr.testing.faults import Fault, FaultyStore
fault = Fault("kill", op="upload", save=3, nth=2)
wrap_every_store(lambda s: FaultyStore(s, [fault], on_kill=lambda: os.kill(os.getpid(), signal.SIGKILL)))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_keras_goes_on_with_the_next_epoch(tmp_path: Path) -> None:
    (command,) = commands("keras_fit.py")
    command = command.replace("/tmp/", f"{tmp_path}/")
    straight = bash(command.replace("run-keras", "straight").replace("--epochs 6", "--epochs 8"))
    assert bash(command).splitlines()[:-1] == straight.splitlines()[:6]
    assert bash(command.replace("--epochs 6", "--epochs 8")).splitlines() == straight.splitlines()[6:]


def test_orbax_killed_in_the_middle_of_a_save_ends_with_the_weights_of_a_run_without_a_kill(
    tmp_path: Path,
) -> None:
    (command,) = commands("orbax_manager.py")
    command = command.replace("/tmp/", f"{tmp_path}/")
    straight = bash(command.replace("run-orbax", "straight")).splitlines()
    program = [sys.executable, "-c", KILLED, str(EXAMPLES / "orbax_manager.py")]
    killed = subprocess.run(
        [*program, str(tmp_path / "run-orbax"), str(tmp_path / "orbax")],
        env=surroundings(),
        check=False,
        timeout=150,
    )
    assert killed.returncode == -9
    assert bash(command).splitlines() == [*straight[4:8], "resumed from 4, ended at step 8"]
    longer = bash(command.replace("--steps 8", "--steps 10"))
    assert re.search("resumed from 8, ended at step 10", longer)


def test_xgboost_adds_the_trees_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    life = simulated("xgboost_boosting.py")
    check(life, imported("xgboost_boosting", monkeypatch).boost(rounds=30))
    assert restored(life) == [None, 10, 10]
    assert life["repeated_steps"] == [15]
