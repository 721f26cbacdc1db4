"""A page with the last results of a long run: one section for each store, or for each story."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path


def recorded(page: str, name: str, text: str, order: Sequence[str]) -> str:
    """The page with the text in place of the section of that name."""
    head = page.split("\n## ", maxsplit=1)[0].rstrip("\n")
    sections = {section.split("\n", 1)[0]: section for section in page.split("\n## ")[1:]}
    sections[name] = f"{name}\n\n{text}\n"
    kept = [sections[each].rstrip("\n") for each in order if each in sections]
    return "\n\n## ".join([head, *kept]) + "\n"


def commit() -> str:
    """The commit that runs, and whether something is changed beside it."""

    def git(*words: str) -> str:
        top = Path(__file__).parents[1]
        return subprocess.run(
            ["git", *words], cwd=top, capture_output=True, text=True, check=False
        ).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("" if not git("status", "--porcelain") else " and changes")
