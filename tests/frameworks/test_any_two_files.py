"""A process is killed before each file that a save begins, and before each upload of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frameworks.launch import ENVIRON, FRAMEWORKS, PROJECT, TASKS

pytestmark = [pytest.mark.timeout(600)]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_kill_between_any_two_files_leaves_the_checkpoint_before(framework: str, tmp_path: Path) -> None:
    program = str(TASKS / "any_two_files.py")
    done = subprocess.run(
        [sys.executable, program, framework, str(tmp_path)],
        env={**os.environ, **ENVIRON, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    first, *losses = told["straight"].split("\n")
    assert (first, len(losses)) == ("began after step 0", 6)
    files = len(told["files"])
    assert files == {"lightning": 1, "dcp": 2}.get(framework, max(files, 4))
    resumed = "\n".join(["began after step 2", *losses[2:]])
    assert told["after"] == {
        f"{kind} {number}": resumed for kind in ("file", "upload") for number in range(1, files + 1)
    }
