"""What holds for all examples: they are in the README, short, and say how they are run."""

from __future__ import annotations

import re

import pytest

from tests.examples.texts import EXAMPLES, commands

PROGRAMS = sorted(path.name for path in EXAMPLES.iterdir() if path.is_file() and path.suffix != ".md")
WITHOUT_A_STORY = [name for name in PROGRAMS if name != "demo.py"]  # which is `make demo`


def test_each_is_in_the_readme_and_nothing_else_is() -> None:
    linked = re.findall(r"\]\((\w+\.\w+)\)", (EXAMPLES / "README.md").read_text())
    assert sorted(set(linked)) == PROGRAMS


@pytest.mark.parametrize("example", WITHOUT_A_STORY)
def test_each_says_how_it_is_run_and_is_read_in_two_minutes(example: str) -> None:
    assert commands(example)
    assert len((EXAMPLES / example).read_text().splitlines()) <= 80
