"""The entry point: active on install, light, and unable to break a process of Flyte 2."""

from __future__ import annotations

import subprocess
import sys
import threading
from importlib.metadata import entry_points
from pathlib import Path

import flyte
import pytest
from flyte._context import internal_ctx
from flyte.models import CheckpointPaths, TaskContext

from ckptptr.flyte2 import checkpoint as asked_for
from ckptptr.flyte2.plugin import _CheckpointProperty, install
from ckptptr.flyte2.pointer_checkpoint import PointerCheckpoint
from tests.flyte2.contexts import context


def python(code: str, **environ: str) -> str:
    environ = {"PATH": "/usr/bin", "HOME": "/nonexistent"} | environ
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_flyte_finds_the_plugin_by_its_entry_point() -> None:
    (found,) = [e for e in entry_points(group="flyte.plugins.types") if e.name == "ckptptr"]
    assert found.value == "ckptptr.flyte2.plugin:install"


def test_installing_twice_changes_nothing() -> None:
    before = TaskContext.__dict__["checkpoint"]
    assert isinstance(before, _CheckpointProperty)
    install()
    assert TaskContext.__dict__["checkpoint"] is before


@pytest.mark.pythons
def test_flyte_init_is_enough_and_loads_only_what_replaces_the_property() -> None:
    code = (
        "import flyte, sys; flyte.init()\n"
        "from flyte.models import TaskContext; print(type(TaskContext.checkpoint).__name__)\n"
        "print(sorted(m for m in sys.modules if m.startswith('ckptptr')))"
    )
    modules = ["ckptptr", "ckptptr.errors", "ckptptr.flyte2", "ckptptr.flyte2.plugin", "ckptptr.version"]
    assert python(code).splitlines() == ["_CheckpointProperty", str(modules)]


@pytest.mark.pythons
def test_a_process_without_plugins_has_ours_from_the_type_engine_on() -> None:
    """`init(load_plugin_type_transformers=False)` leaves the loading to the first conversion of a value."""
    code = (
        "import flyte; flyte.init(load_plugin_type_transformers=False)\n"
        "from flyte.models import TaskContext; print(type(TaskContext.checkpoint).__name__)\n"
        "from flyte.types import TypeEngine; TypeEngine.to_literal_type(int)\n"
        "print(type(TaskContext.checkpoint).__name__)"
    )
    assert python(code).split() == ["property", "_CheckpointProperty"]


@pytest.mark.slow
def test_the_plugin_adds_a_few_milliseconds_to_flyte_init() -> None:
    code = (
        "import flyte.models, time; began = time.process_time()\n"
        "import ckptptr.flyte2.plugin; ckptptr.flyte2.plugin.install(); print(time.process_time() - began)"
    )
    assert any(float(python(code)) < 0.010 for _ in range(3))


@pytest.mark.parametrize(
    "breakage", ["del TaskContext.checkpoint", "TaskContext.checkpoint = 7"], ids=["absent", "another thing"]
)
def test_whatever_is_wrong_is_a_warning_and_never_an_error(breakage: str) -> None:
    code = (
        "import flyte; from flyte.models import TaskContext\n"
        f"{breakage}\n"
        "from ckptptr.flyte2.plugin import install; install()"
    )
    assert "ckptptr is installed but not active" in python(code)


def test_without_a_path_for_checkpoints_there_is_none(tmp_path: Path) -> None:
    assert context(tmp_path, checkpoint_paths=None).checkpoint is None
    assert context(tmp_path, checkpoint_paths=CheckpointPaths("", " ")).checkpoint is None


@pytest.mark.parametrize(("disabled", "ours"), [("1", False), ("0", True)])
def test_the_switch_is_read_in_each_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disabled: str, ours: bool
) -> None:
    monkeypatch.setenv("CKPTPTR_DISABLE", disabled)
    made = context(tmp_path).checkpoint
    assert isinstance(made, flyte.Checkpoint)
    assert isinstance(made, PointerCheckpoint) == ours


def test_a_layout_that_is_not_flytes_keeps_the_stock_checkpoint_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    odd = context(tmp_path, checkpoint_paths=CheckpointPaths(None, f"{tmp_path}/mine"))
    assert type(odd.checkpoint) is flyte.Checkpoint
    assert odd.checkpoint is odd.checkpoint
    assert caplog.text.count("stock Flyte checkpoints are used") == 1


def test_a_thread_of_the_tasks_own_is_told_where_to_ask(tmp_path: Path) -> None:
    """Flyte's context is a context variable: a new thread has none."""
    told: list[object] = []

    def alone() -> None:
        told.append(flyte.ctx().checkpoint)
        try:
            asked_for()
        except flyte.errors.NotInTaskContextError as error:
            told.append(str(error))

    with internal_ctx().replace_task_context(context(tmp_path)):
        assert isinstance(flyte.ctx().checkpoint, PointerCheckpoint)
        thread = threading.Thread(target=alone)
        thread.start()
        thread.join()
    assert told[0] is None
    assert str(told[1]).startswith("there is no task in this thread: call checkpoint() in the task's own")


# Local runs

env = flyte.TaskEnvironment(name="local")
tries: list[object] = []


@env.task(retries=1)
async def stock_task() -> str:
    return type(flyte.ctx().checkpoint).__name__


@env.task(retries=2)
async def counts(n: int) -> int:
    loaded = await asked_for().load()
    start = int(loaded.read_text()) if loaded else 0
    tries.append(start)
    for done in range(start + 1, n + 1):
        await asked_for().save(str(done).encode())
        if done == 2 and start == 0:
            raise RuntimeError("the first try ends here")
    return start


@env.task
async def children() -> list[int]:
    return [await counts(3), await counts(2)]


@flyte.trace
async def saves_in_a_trace() -> bool:
    await asked_for().save(b"of the trace")
    return flyte.ctx().action != flyte.ctx().task_action


@env.task
async def traces() -> str:
    assert await saves_in_a_trace()
    return asked_for().place.home.rpartition("/")[2] if asked_for().latest else "nothing"


def test_a_traced_function_has_the_checkpoint_of_its_task(tmp_path: Path) -> None:
    """The decorator of the SDK runs without a backend only in a local run."""
    flyte.init()
    run = flyte.with_runcontext(mode="local", raw_data_path=str(tmp_path)).run(traces)
    assert [path.name for path in tmp_path.rglob("ckptptr/*")] == [run.outputs()[0]]


def test_a_local_run_keeps_the_stock_checkpoint(tmp_path: Path) -> None:
    flyte.init()
    run = flyte.with_runcontext(mode="local", raw_data_path=str(tmp_path)).run(stock_task)
    assert run.outputs()[0] == "Checkpoint"


def test_in_a_local_run_the_one_line_use_resumes_and_actions_share_nothing(tmp_path: Path) -> None:
    flyte.init()
    tries.clear()
    run = flyte.with_runcontext(mode="local", raw_data_path=str(tmp_path)).run(children)
    assert run.outputs()[0] == [2, 2]
    assert tries == [0, 2, 0, 2]
