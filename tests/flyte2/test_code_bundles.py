"""The code of a task comes in a code bundle: `a0` unpacks or unpickles it; its checkpoints are the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ckptptr.errors import InvalidArgumentError
from ckptptr.testing.actions import SimulatedAction
from ckptptr.testing.code_bundles import build
from ckptptr.testing.deaths import after_save
from tests.flyte2.places import COUNTED_ON, EXAMPLES


@pytest.fixture
def action(tmp_path: Path) -> SimulatedAction:
    """The counter, as a module of a package that imports another one of it."""
    package = tmp_path / "code/trainings/counters"
    package.mkdir(parents=True)
    (package.parent / "told.py").write_text(
        "def in_words(start, n):\n    return f'counted from {start} to {n}'\n"
    )
    text = (EXAMPLES / "flyte2_counter.py").read_text()
    assert 'f"counted from {start} to {n}"' in text
    counter = text.replace('f"counted from {start} to {n}"', "in_words(start, n)")
    (package / "simple.py").write_text(f"from trainings.told import in_words\n{counter}")
    return SimulatedAction(
        "trainings.counters.simple",
        "count_to",
        root=f"{tmp_path}/data",
        folder=f"{tmp_path}/code",
        inputs={"n": 8},
    )


@pytest.mark.servers
def test_a_task_resumes_however_its_code_comes_into_the_pod(action: SimulatedAction, tmp_path: Path) -> None:
    unpacked, unpickled = replace(action, bundle="tgz"), replace(action, bundle="pkl")
    for each in (unpacked, unpickled):
        each._code()  # a run has one bundle: what is there now
    (tmp_path / "code/trainings").rename(tmp_path / "moved")
    assert unpacked.run(1, after_save(3)).signal == 9
    last = unpickled.run(2)
    assert last.outputs == COUNTED_ON, last.log


def test_a_task_that_cannot_be_pickled_is_named(action: SimulatedAction, tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    with pytest.raises(
        InvalidArgumentError, match=r"no code bundle of trainings\.counters\.simple:train in .*train"
    ):
        build("pkl", action.module, "train", folder=action.folder, into=tmp_path / "into")
