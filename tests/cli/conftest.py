"""A node with a few checkpoints, and a person at a prompt."""

from __future__ import annotations

import inspect
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import ckptptr
from ckptptr.cli import main
from ckptptr.clock import SystemClock
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.stores.open import open_store
from ckptptr.testing import Fault, FaultyStore

EXECUTION = "axq2rsxnmht57kq9sxpt"


def run(*arguments: str, stdin: str | None = None) -> Result:
    """`ckptptr ...`, stdout and stderr apart; an error that is not ours is raised here."""
    apart = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    result = CliRunner(**apart).invoke(main, arguments, input=stdin, prog_name="ckptptr")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run_json(*arguments: str, exit_code: int = 0) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == exit_code, result.stderr
    return json.loads(result.stdout)


def run_line(line: str) -> Result:
    """A whole command line that was printed, as a person would paste it."""
    program, *arguments = shlex.split(line)
    assert program == "ckptptr"
    return run(*arguments)


@dataclass
class FlyteNode:
    """A node of Flyte on a local disk."""

    root: Path
    node: str = "n0"

    @property
    def parsed(self) -> NodePrefix:
        return NodePrefix(
            root=str(self.root),
            project="flytesnacks",
            domain="development",
            execution=EXECUTION,
            node=self.node,
        )

    @property
    def url(self) -> str:
        return self.parsed.prefix

    @property
    def latest(self) -> Path:
        return Path(self.url, "LATEST")

    def home(self, attempt: int) -> Path:
        return Path(self.parsed.homes_of(attempt)[0])

    def save(self, attempt: int, *steps: int, **options: Any) -> dict[int, str]:
        """Run an attempt that restores and saves some steps; their ids."""
        with ckptptr.open(self.url, attempt=attempt, **options) as checkpoints:
            checkpoints.restore()
            saved = {step: checkpoints.save(f"state {step}".encode(), step=step) for step in steps}
        return {step: Path(checkpoint.reference).stem for step, checkpoint in saved.items()}

    def restored(self, attempt: int) -> int | None:
        """The step that this attempt really resumes from; None for a fresh start."""
        with ckptptr.open(self.url, attempt=attempt) as checkpoints:
            checkpoints.restore()
            found = checkpoints.resolution.found if checkpoints.resolution else None
        return found.manifest.step if found and found.manifest else None

    def manifest(self, identifier: str) -> Path:
        return next(self.root.glob(f"*/*/_flytecheckpoints/manifests/{identifier}.json"))

    def damage(self, identifier: str) -> None:
        path = self.manifest(identifier)
        path.write_text(path.read_text().replace('"total_bytes": ', '"total_bytes": 1'))


@pytest.fixture
def node(tmp_path: Path) -> FlyteNode:
    """Nothing yet."""
    return FlyteNode(tmp_path / "data")


@pytest.fixture
def ids(node: FlyteNode) -> dict[int, str]:
    """Attempt 0 has saved the steps 1, 2 and 3: the ids of its checkpoints by step."""
    return node.save(0, 1, 2, 3)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "sleep", lambda *_: None)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> list[Fault]:
    """What goes wrong with the store of every command from now on."""
    found: list[Fault] = []

    def faulty(url: str, **options: Any) -> tuple[FaultyStore, str]:
        store, key = open_store(url, **options)
        return FaultyStore(store, found), key

    monkeypatch.setattr("ckptptr.inspect.target.open_store", faulty)
    return found
