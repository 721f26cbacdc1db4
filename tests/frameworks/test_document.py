"""The pages and the examples that need torch: they run as they stand, and name tests that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
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


def check_snippets(folder: Path, wanted: Callable[[str], bool]) -> None:
    """Run the snippets of the page that are `wanted`; what is said below each is printed."""
    ran = 0
    for number, block in enumerate(blocks := blocks_of(PAGE)):
        if block.language == "python" and wanted(block.text):
            program = folder / f"block_{number}.py"
            program.write_text(block.text)
            command = [sys.executable, program.name]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"line {block.line}: {done.stderr}"
            assert blocks[number + 1].text in done.stdout
            ran += 1
    assert ran


def names_of_tests(folder: Path) -> set[str]:
    texts = (path.read_text() for path in folder.glob("test_*.py"))
    return {name for text in texts for name in re.findall(r"def (test_\w+)\(", text)}


def test_every_snippet_runs_and_prints_what_is_said(tmp_path: Path) -> None:
    check_snippets(tmp_path, lambda text: "import keras" not in text)  # that one: tests/jax


def test_every_test_that_the_table_names_exists() -> None:
    named = re.findall(r"`(test_\w+)`", PAGE.read_text().partition("In `tests/jax`")[0])
    assert [name for name in named if name not in names_of_tests(Path(__file__).parent)] == []
    assert named


@pytest.mark.parametrize("example", ["accelerate_loop.py", "lightning_fit.py", "transformers_trainer.py"])
def test_an_example_runs_as_its_text_says_and_goes_on(example: str, tmp_path: Path) -> None:
    (command,) = commands(example)
    command = command.replace("/tmp/", f"{tmp_path}/").replace("\\\n", " ")
    longer = command.replace("--steps 8", "--steps 10")
    assert "resumed from None, ended at step 8" in bash(command, environ=ENVIRON)
    assert re.search(r"resumed from \S*8(.ckpt)?, ended at step 10", bash(longer, environ=ENVIRON))
