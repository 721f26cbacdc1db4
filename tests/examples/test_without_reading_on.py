"""The first examples: nothing of ours in the task, the demo, a run outside Flyte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.examples.texts import EXAMPLES, bash, commands


def test_save_and_resume_goes_on_where_it_stopped(tmp_path: Path) -> None:
    command = commands("save_and_resume.py")[0].replace("/tmp/", f"{tmp_path}/")
    assert "attempt 0 starts from scratch" in bash(command)
    again = bash(command)
    assert "attempt 1 resumes at step 5" in again
    assert "saved step 10" in again


@pytest.mark.servers  # it runs pyflyte-execute a dozen times
def test_the_demo_tells_the_story_and_nothing_is_lost(tmp_path: Path) -> None:
    told = bash(f"python examples/demo.py --keep {tmp_path}")
    assert "NON_RECOVERABLE" in told
    assert told.count("counted from 3 to 8") == 2
    assert "where a person chose it" in told
    assert "counted from 1 to 8" in told
    assert "Nothing was lost." in told


@pytest.mark.parametrize("example", ["counter_task.py", "sklearn_partial_fit.py", "map_task.py"])
def test_the_task_has_not_one_line_of_ours(example: str) -> None:
    code = (EXAMPLES / example).read_text().split('"""', 2)[2]
    assert "ckptptr" not in code.lower()
