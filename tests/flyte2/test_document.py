"""docs/flyte2.md: its programs are those of tasks that Flyte 2 runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckptptr.testing.actions import SimulatedAction
from ckptptr.testing.deaths import after_save
from tests.test_documents import PROJECT, blocks_of

TASKS = [block for block in blocks_of(PROJECT / "docs/flyte2.md") if block.language == "python"]


@pytest.mark.servers
def test_the_task_of_the_first_page_resumes(tmp_path: Path) -> None:
    (tmp_path / "training.py").write_text(TASKS[0].text)
    action = SimulatedAction(
        "training", "train", root=f"{tmp_path}/data", folder=str(tmp_path), inputs={"steps": 4}
    )
    assert action.run(1, after_save(2)).signal == 9
    last = action.run(2)
    assert last.outputs == {"o0": 2}, last.log
