"""The entry point: active on install, light, and unable to break `import flytekit`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from flytekit import current_context, task
from flytekit.core.checkpointer import SyncCheckpoint
from flytekit.core.context_manager import ExecutionParameters

from ckptptr.flyte import checkpoint
from ckptptr.flyte.plugin import _CheckpointProperty, install
from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint


def python(code: str, **environ: str) -> str:
    environ["TMPDIR"] = tempfile.gettempdir()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_flytekit_finds_the_plugin_by_its_entry_point() -> None:
    (found,) = [e for e in entry_points(group="flytekit.plugins") if e.name == "ckptptr"]
    assert found.value == "ckptptr.flyte.plugin"


def test_importing_flytekit_is_enough_and_installing_twice_changes_nothing() -> None:
    before = ExecutionParameters.__dict__["checkpoint"]
    assert isinstance(before, _CheckpointProperty)
    install()
    assert ExecutionParameters.__dict__["checkpoint"] is before


@pytest.mark.pythons
def test_import_flytekit_loads_only_what_replaces_the_property() -> None:
    code = "import sys, flytekit; print(sorted(m for m in sys.modules if m.startswith('ckptptr')))"
    loaded = python(code, PATH="/usr/bin")
    modules = ["ckptptr", "ckptptr.errors", "ckptptr.flyte", "ckptptr.flyte.plugin", "ckptptr.version"]
    assert loaded.strip() == str(modules)


@pytest.mark.slow
def test_the_plugin_adds_less_than_30_ms_to_import_flytekit() -> None:
    code = (
        "import os; os.environ['CKPTPTR_DISABLE'] = '1'\n"
        "import flytekit, sys, time\n"
        "for name in [m for m in sys.modules if m.startswith('ckptptr')]: del sys.modules[name]\n"
        "began = time.process_time(); import ckptptr.flyte.plugin; print(time.process_time() - began)"
    )
    assert any(float(python(code, PATH="/usr/bin")) < 0.030 for _ in range(3))


@pytest.mark.pythons
@pytest.mark.parametrize(
    "breakage",
    [
        pytest.param("del ExecutionParameters.checkpoint", id="a flytekit without the property"),
        pytest.param(
            "ExecutionParameters.checkpoint = 7",
            id="a flytekit where it is something else",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_whatever_is_wrong_is_a_warning_and_never_an_import_error(breakage: str) -> None:
    code = (
        "import sys, flytekit\n"
        "from flytekit.core.context_manager import ExecutionParameters\n"
        f"{breakage}\n"
        "del sys.modules['ckptptr.flyte.plugin']\n"
        "import ckptptr.flyte.plugin"
    )
    assert "ckptptr is installed but not active" in python(code, PATH="/usr/bin")


@task
def kind_of_checkpoint() -> str:
    return type(current_context().checkpoint).__name__


@task
def kind_of_our_checkpoint() -> str:
    return type(checkpoint()).__name__


@task
def saves_with_a_step() -> str:
    ours = checkpoint()
    ours.save(b"state", step=7, metadata={"loss": 0.5})
    return f"{ours.read()!r} {ours.history()[0].step} {Path(ours._checkpoint_dest).is_dir()}"


def test_a_local_run_keeps_stock_flytekits_checkpoint() -> None:
    assert kind_of_checkpoint() == SyncCheckpoint.__name__


def test_in_a_local_run_the_one_line_use_works_all_the_same() -> None:
    assert kind_of_our_checkpoint() == PointerCheckpoint.__name__
    assert saves_with_a_step() == "b'state' 7 True"
