"""The pages and the examples that need torch: they run as they stand, and name tests that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.texts import bash, commands
from tests.frameworks.launch import ENVIRON, PROJECT
from tests.test_documents import blocks_of, buckets, check_that_it_runs, reader

pytestmark = [pytest.mark.timeout(400)]

__all__ = ["buckets", "reader"]  # fixtures

PAGE = PROJECT / "docs/frameworks.md"


def test_the_page_on_many_ranks_does_what_it_says(reader: tuple[Path, dict[str, str]]) -> None:
    check_that_it_runs(PROJECT / "docs/distributed.md", reader)


def test_every_snippet_runs_and_prints_what_is_said(tmp_path: Path) -> None:
    for number, block in enumerate(blocks := blocks_of(PAGE)):
        if block.language == "python":
            program = tmp_path / f"block_{number}.py"
            program.write_text(block.text)
            command = [sys.executable, program.name]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"line {block.line}: {done.stderr}"
            assert blocks[number + 1].text in done.stdout


def test_every_test_that_the_table_names_exists() -> None:
    there = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", PAGE.read_text())
    assert [name for name in named if f"def {name}(" not in there] == []
    assert named


@pytest.mark.parametrize("example", ["accelerate_loop.py", "lightning_fit.py", "transformers_trainer.py"])
def test_an_example_runs_as_its_text_says_and_goes_on(example: str, tmp_path: Path) -> None:
    (command,) = commands(example)
    command = command.replace("/tmp/", f"{tmp_path}/").replace("\\\n", " ")
    longer = command.replace("--steps 8", "--steps 10")
    assert "resumed from None, ended at step 8" in bash(command, environ=ENVIRON)
    assert re.search(r"resumed from \S*8(.ckpt)?, ended at step 10", bash(longer, environ=ENVIRON))
