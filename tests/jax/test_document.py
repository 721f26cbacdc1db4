"""The page on frameworks: what it says of Keras runs, and the tests that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.examples.texts import bash
from tests.frameworks.test_document import PAGE, check_snippets, names_of_tests


def test_the_snippet_runs_and_prints_what_is_said(tmp_path: Path) -> None:
    def run(program: Path) -> str:
        return bash(f"python {program}", folder=tmp_path)

    check_snippets(tmp_path, lambda text: "import keras" in text, run)


def test_every_test_that_the_table_names_exists() -> None:
    named = re.findall(r"`(test_\w+)`", PAGE.read_text().partition("In `tests/jax`")[2])
    assert [name for name in named if name not in names_of_tests(Path(__file__).parent)] == []
    assert named
