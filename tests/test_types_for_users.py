"""What a type checker says of a program that uses the package: what is right passes, a typo does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from concurrent.futures import Future

import ckptptr
from ckptptr.flyte import checkpoint
from ckptptr.testing import simulate


def train(url: str, is_last: bool) -> None:
    with ckptptr.open(url, retention=ckptptr.Retention(keep_last=3)) as checkpoints:
        saved: ckptptr.Checkpoint = checkpoints.save("model/", step=1)
        future: Future[ckptptr.Checkpoint] = checkpoints.save(b"state", block=False, consume=True)
        either: ckptptr.Checkpoint | Future[ckptptr.Checkpoint] = checkpoints.save(b"state", block=is_last)
        print(saved, future, either)
    print(simulate, checkpoint().save(b"state", block=is_last, step=2))


ckptptr.opne  # type: ignore[attr-defined]
ckptptr.testing.simulat  # type: ignore[attr-defined]
ckptptr.open(b"url")  # type: ignore[arg-type]
"""


@pytest.mark.slow
def test_a_users_program_passes_mypy_and_a_typo_does_not(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    strictly = ["--strict", "--config-file=", "--cache-dir=.mypy_cache/users", "--follow-imports=silent"]
    command = [sys.executable, "-m", "mypy", *strictly, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("Success: no issues found in 1 source file\n", 0)
