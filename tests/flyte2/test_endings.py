"""How a task of Flyte 2 ends: what is saved, and what Flyte is told. By the real `a0`, or its runner."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import flyte
import pytest
from flyte._internal.runtime.convert import convert_from_native_to_error

from ckptptr.flyte2 import checkpoint
from ckptptr.testing.actions import SimulatedAction
from ckptptr.testing.deaths import after_save, sigterm
from ckptptr.testing.outcome import Ending
from tests.flyte2.contexts import context, run
from tests.flyte2.places import attempt_of

TASKS = Path(__file__).with_name("tasks")

env = flyte.TaskEnvironment(name="endings")


def action(tmp_path: Path, task: str, **inputs: int) -> SimulatedAction:
    return SimulatedAction("ending", task, root=f"{tmp_path}/data", folder=str(TASKS), inputs=dict(inputs))


@pytest.mark.servers
@pytest.mark.parametrize(
    ("task", "steps"),
    [("preempted", range(5, 10)), ("preempted_async", [10])],
    ids=["in a thread", "in the event loop"],
)
def test_sigterm_reaches_the_task_and_its_last_save_is_confirmed(
    tmp_path: Path, task: str, steps: Sequence[int]
) -> None:
    ours = action(tmp_path, task)
    told = ours.run(1)
    assert (told.ending, told.exit_code) == (Ending.RECOVERABLE, 0), told.log
    assert "told to end by SIGTERM; the last save is confirmed, LATEST is on step" in told.error
    (_, last) = told.saves
    assert last.checkpoint
    assert last.step in steps
    if task == "preempted_async":
        assert "another handler of SIGTERM was installed inside the on_preemption block: asyncio." in told.log
        assert "the library was told" in told.log
    second = attempt_of(ours, 2)
    loaded = second.load_sync()
    assert loaded is not None
    assert loaded.read_text() == str(last.step)
    second.close()


@env.task
def told_at_the_end() -> None:
    with checkpoint().on_preemption(lambda: checkpoint().save_sync(b"last", step=1)):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)  # until the main thread has heard of it


@env.task
async def told_at_the_end_async() -> None:
    async with checkpoint().on_preemption(lambda: checkpoint().save(b"last", step=1)):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    "task", [told_at_the_end, told_at_the_end_async], ids=["in a thread", "in the event loop"]
)
def test_where_neither_a_save_nor_check_follows_the_end_of_the_block_acts(
    tmp_path: Path, task: object
) -> None:
    _, error = asyncio.run(run(task, context(tmp_path)))
    assert convert_from_native_to_error(error).recoverable
    assert "told to end by SIGTERM; the last save is confirmed, LATEST is on step 1" in str(error)


@pytest.mark.servers
def test_sigterm_without_a_block_is_left_to_the_kernel(tmp_path: Path) -> None:
    """As process 1 of its container the task does not hear of it: SIGKILL comes when the grace is over."""
    ours = SimulatedAction(
        "slow", "sleeps", root=f"{tmp_path}/data", folder=str(tmp_path), inputs={"seconds": 30.0}
    )
    (tmp_path / "slow.py").write_text(
        "import flyte, time\n"
        "env = flyte.TaskEnvironment(name='slow')\n"
        "@env.task\n"
        "def sleeps(seconds: float) -> str:\n"
        "    flyte.ctx().checkpoint.save_sync(b'state')\n"
        "    time.sleep(seconds)\n"
        "    return 'slept'\n"
    )
    assert ours.run(1, sigterm(after_save(1), grace=0.5)).signal == 9


@pytest.mark.servers
def test_a_system_exit_is_retried_and_the_save_in_the_background_is_found(tmp_path: Path) -> None:
    ours = action(tmp_path, "exits", code=0)
    ended = ours.run(1)
    assert (ended.ending, ended.exit_code) == (Ending.RECOVERABLE, 0), ended.log
    assert "SystemExit(0)" in ended.error
    second = attempt_of(ours, 2)
    loaded = second.load_sync()
    assert loaded is not None
    assert loaded.read_bytes() == b"in the background"
    second.close()


@env.task
def exits(code: int, *, uses: bool) -> None:
    if uses:
        checkpoint().save_sync(b"state", step=1)
    sys.exit(code)


@env.task
async def exits_async(code: int, *, uses: bool) -> None:
    if uses:
        await checkpoint().save(b"state", step=1)
    raise SystemExit(code)


@env.task
def asks_for(step: int) -> str:
    checkpoint().save_sync(b"state", step=1)
    checkpoint().restore(step=step)
    return "found"


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("task", [exits, exits_async], ids=["in a thread", "in the event loop"])
def test_a_system_exit_of_any_task_is_retried(tmp_path: Path, task: object, code: int) -> None:
    outputs, error = asyncio.run(run(task, context(tmp_path), code=code, uses=True))
    made = convert_from_native_to_error(error)
    assert (outputs, made.recoverable, made.err.code) == ({}, True, "SystemExit")
    assert f"SystemExit({code})" in made.err.message


@pytest.mark.parametrize("task", [exits, exits_async], ids=["in a thread", "in the event loop"])
def test_a_task_that_does_not_use_its_checkpoint_exits_as_without_us(tmp_path: Path, task: object) -> None:
    with pytest.raises(SystemExit) as ended:
        asyncio.run(run(task, context(tmp_path), code=3, uses=False))
    assert ended.value.code == 3


def test_what_no_attempt_can_cure_is_final(tmp_path: Path) -> None:
    _, error = asyncio.run(run(asks_for, context(tmp_path), step=7))
    made = convert_from_native_to_error(error)
    assert (made.recoverable, made.err.code) == (False, "not-found")
    assert "step 7" in made.err.message


def test_an_unfit_setting_is_final_and_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPTPTR_KEEP_LAST", "three")
    _, error = asyncio.run(run(asks_for, context(tmp_path), step=1))
    made = convert_from_native_to_error(error)
    assert (made.recoverable, made.err.code) == (False, "invalid-setting")
    assert "CKPTPTR_KEEP_LAST is 'three'" in made.err.message
    assert not any(tmp_path.iterdir())
