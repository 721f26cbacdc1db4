"""A process is killed before each file that a save begins, and before each upload of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frameworks.launch import FRAMEWORKS, Forks

pytestmark = [pytest.mark.timeout(600)]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_kill_between_any_two_files_leaves_the_checkpoint_before(
    framework: str, forks: Forks, tmp_path: Path
) -> None:
    told = forks.each_death(framework, tmp_path)
    first, *losses = told["straight"].split("\n")
    assert (first, len(losses)) == ("began after step 0", 6)
    files = len(told["files"])
    assert files == {"lightning": 1, "dcp": 2}.get(framework, max(files, 4))
    resumed = "\n".join(["began after step 2", *losses[2:]])
    assert told["after"] == {
        f"{kind} {number}": resumed for kind in ("file", "upload") for number in range(1, files + 1)
    }
