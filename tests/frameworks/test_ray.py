"""The snippet of the page for Ray Train, by a real cluster of Ray on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import ckptptr
from tests.frameworks.launch import ENVIRON
from tests.frameworks.test_document import PAGE
from tests.test_documents import blocks_of

pytestmark = [pytest.mark.timeout(600)]

DIES_ONCE = """
def dies_once(step):
    import os, signal
    told = Path(TOLD)
    if (step, train.get_context().get_world_rank()) == (3, 1) and not told.exists():
        told.touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_of_ray_is_killed_and_all_go_on_from_the_checkpoint_before(tmp_path: Path) -> None:
    blocks = blocks_of(PAGE)
    number = next(n for n, block in enumerate(blocks) if "TorchTrainer(" in block.text)
    text, died = blocks[number].text, tmp_path / "died"
    assert text.count("            parts.save(") == text.count("\n\n\ndef train_loop") == 1
    text = text.replace("            parts.save(", "            dies_once(step)\n            parts.save(")
    dying = DIES_ONCE.replace("TOLD", repr(str(died)))
    program = tmp_path / "ray_training.py"
    program.write_text(text.replace("\n\n\ndef train_loop", f"\n\n{dying}\n\ndef train_loop"))
    # Not below tmp_path: the names of its sockets must be short. Its workers are as nice as other processes.
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as short:
        done = subprocess.run(
            [sys.executable, program.name],
            cwd=tmp_path,
            env={
                **os.environ,
                **ENVIRON,
                "HOME": str(tmp_path),
                "RAY_TMPDIR": short,
                "RAY_worker_niceness": "0",
                "RAY_USAGE_STATS_ENABLED": "0",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert died.exists()
    assert "resuming from step 2" in done.stderr + done.stdout
    assert blocks[number + 1].text in done.stdout
    with ckptptr.open(tmp_path / "run-ray", read_only=True) as checkpoints:
        assert [kept.step for kept in checkpoints.history()] == [4, 3, 2]
        assert checkpoints.latest is not None
        assert checkpoints.latest.attempt == 1
