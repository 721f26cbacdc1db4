"""docs/flyte2.md: its programs are those of tasks that Flyte 2 runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ckptptr.testing.actions import SimulatedAction
from ckptptr.testing.deaths import after_save
from tests.test_documents import PROJECT, blocks_of

TASKS = [block for block in blocks_of(PROJECT / "docs/flyte2.md") if block.language == "python"]


@pytest.mark.servers
def test_the_task_of_the_first_page_resumes(
    flyte_action: Callable[..., SimulatedAction], tmp_path: Path
) -> None:
    (tmp_path / "training.py").write_text(TASKS[0].text)
    action = flyte_action("training", "train", folder=str(tmp_path), inputs={"steps": 4})
    assert action.run(1, after_save(2)).signal == 9
    last = action.run(2)
    assert last.outputs == {"o0": 2}, last.log


@pytest.mark.servers
def test_the_block_of_the_page_ends_a_task_that_is_preempted(tmp_path: Path) -> None:
    told_at_3 = "block.check()\n            if done == 3: import os; os.kill(os.getpid(), 15)"
    (tmp_path / "preemptible.py").write_text(TASKS[1].text.replace("block.check()", told_at_3))
    action = SimulatedAction(
        "preemptible", "count", root=f"{tmp_path}/data", folder=str(tmp_path), inputs={"steps": 9}
    )
    told = action.run(1)
    assert (told.kind, told.exit_code) == ("RECOVERABLE", 0), told.log
    assert "the last save is confirmed" in told.error
    assert action.run(2).outputs == {"o0": 9}
