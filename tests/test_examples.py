"""Each example is a real program, run as its own text says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_save_and_resume_goes_on_where_it_stopped(tmp_path: Path) -> None:
    program, place = str(EXAMPLES / "save_and_resume.py"), str(tmp_path / "run-42")
    assert "attempt 0 starts from scratch" in run(program, place)
    again = run(program, place)
    assert "attempt 1 resumes at step 5" in again
    assert "saved step 10" in again


@pytest.mark.servers  # it runs pyflyte-execute a dozen times
def test_the_demo_tells_the_story_and_nothing_is_lost(tmp_path: Path) -> None:
    told = run(str(EXAMPLES / "demo.py"), "--keep", str(tmp_path))
    assert "NON_RECOVERABLE" in told
    assert told.count("counted from 3 to 8") == 2
    assert "where a person chose it" in told
    assert "counted from 1 to 8" in told
    assert "Nothing was lost." in told


def test_the_counter_task_has_not_one_line_of_ours() -> None:
    code = (EXAMPLES / "counter_task.py").read_text().split('"""')[2]
    assert "ckptptr" not in code
