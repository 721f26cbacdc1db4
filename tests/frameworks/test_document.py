"""The pages and the examples that need torch: they run as they stand, and name tests that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.examples.texts import EXAMPLES, commands
from tests.frameworks.launch import PROJECT, Forks
from tests.test_documents import blocks_of, buckets, check_that_it_runs, reader

pytestmark = [pytest.mark.timeout(400)]

__all__ = ["buckets", "reader"]  # fixtures

PAGE = PROJECT / "docs/frameworks.md"


def test_the_page_on_many_ranks_does_what_it_says(reader: tuple[Path, dict[str, str]]) -> None:
    check_that_it_runs(PROJECT / "docs/distributed.md", reader)


def check_snippets(folder: Path, wanted: Callable[[str], bool], run: Callable[[Path], str]) -> None:
    """The snippets of the page that are `wanted` print what is said below each; `run` returns it."""
    ran = 0
    for number, block in enumerate(blocks := blocks_of(PAGE)):
        if block.language == "python" and wanted(block.text):
            program = folder / f"block_{number}.py"
            program.write_text(block.text)
            assert blocks[number + 1].text in run(program), f"line {block.line}"
            ran += 1
    assert ran


def names_of_tests(folder: Path) -> set[str]:
    texts = (path.read_text() for path in folder.glob("test_*.py"))
    return {name for text in texts for name in re.findall(r"def (test_\w+)\(", text)}


def test_every_snippet_runs_and_prints_what_is_said(forks: Forks, tmp_path: Path) -> None:
    elsewhere = ("import keras", "from ray import")  # tests/jax, test_ray.py
    check_snippets(
        tmp_path, lambda text: not any(each in text for each in elsewhere), partial(forks.run, tmp_path)
    )


def test_every_test_that_the_table_names_exists() -> None:
    named = re.findall(r"`(test_\w+)`", PAGE.read_text().partition("In `tests/jax`")[0])
    assert [name for name in named if name not in names_of_tests(Path(__file__).parent)] == []
    assert named


@pytest.mark.parametrize("example", ["accelerate_loop.py", "lightning_fit.py", "transformers_trainer.py"])
def test_an_example_runs_as_its_text_says_and_goes_on(example: str, forks: Forks, tmp_path: Path) -> None:
    (command,) = commands(example)
    before, after = (
        command.replace("/tmp/", f"{tmp_path}/").replace("\\\n", "").split(f" examples/{example} ")
    )
    assert before == "python -m torch.distributed.run --standalone --nproc-per-node 2"

    def run(arguments: str) -> str:
        return forks.run_on_ranks(tmp_path, EXAMPLES / example, *shlex.split(arguments))

    assert "resumed from None, ended at step 8" in run(after)
    then = run(after.replace("--steps 8", "--steps 10"))
    assert re.search(r"resumed from \S*8(.ckpt)?, ended at step 10", then)
