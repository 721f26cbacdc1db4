"""The table of supported versions is that of pyproject.toml."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_the_versions_that_are_said_to_be_supported_are_those_that_are_declared() -> None:
    said = dict(
        re.findall(r"^\| ([\w-]+) \| ([0-9.]+) \|", (PROJECT / "docs/upgrading.md").read_text(), re.MULTILINE)
    )
    declared = (PROJECT / "pyproject.toml").read_text()
    assert said.pop("Python") == re.findall(r'^requires-python = ">=([0-9.]+)"$', declared, re.MULTILINE)[0]
    for package, lowest in said.items():
        assert {*re.findall(rf'"{package}>=([0-9.]+)', declared)} == {lowest}, package
    assert {*said} >= {"flytekit", "flyte", "s3fs", "gcsfs", "adlfs", "obstore"}
    *_, newest = re.findall(r'"Programming Language :: Python :: (3\.[0-9]+)"', declared)
    assert f"| Python | 3.10 | to {newest} |" in (PROJECT / "docs/upgrading.md").read_text()
