"""The commands that an example names in its own text, run as they stand."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
EXAMPLES = PROJECT / "examples"
_PROGRAMS = "bash|ckptptr|kubectl|make|pyflyte|python|sbatch"


def commands(example: str) -> list[str]:
    """The commands of its text, as they stand: four blanks before each; a backslash continues it."""
    text = (EXAMPLES / example).read_text()
    text, before = (text.split('"""')[1], "    ") if example.endswith(".py") else (text, "#     ")
    return re.findall(rf"^{before}((?:[A-Z]+=\S+ )?(?:{_PROGRAMS}) (?:.*\\\n)*.*)$", text, re.MULTILINE)


def bash(
    command: str, *, environ: Mapping[str, str] | None = None, folder: Path = PROJECT, timeout: float = 150
) -> str:
    """What it prints; it has to end well."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=surroundings(environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def surroundings(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a shell in which `python` and `ckptptr` are ours."""
    programs, ours = Path(sys.executable).parent, os.environ.get("PYTHONPATH", "")
    return {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{ours}",
        **(environ or {}),
    }


def simulated(example: str) -> dict[str, Any]:
    """What the `ckptptr simulate` of its text tells of the task's life."""
    (command,) = (command for command in commands(example) if command.startswith("ckptptr simulate"))
    return json.loads(bash(f"{command} --json"))


def imported(example: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module(example)
