"""How a task of Flyte 2 ends: what is saved then, and what Flyte is told. By the real `a0`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ckptptr.testing.actions import SimulatedAction
from ckptptr.testing.deaths import after_save, sigterm
from ckptptr.testing.outcome import Ending

TASKS = Path(__file__).with_name("tasks")

pytestmark = pytest.mark.servers  # all of it runs a0


def action(tmp_path: Path, task: str, **inputs: int) -> SimulatedAction:
    return SimulatedAction("ending", task, root=f"{tmp_path}/data", folder=str(TASKS), inputs=dict(inputs))


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
    assert ours.run(2).outputs == {"o0": f"resumed at {last.step}"}


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


@pytest.mark.parametrize("code", [0, 1])
def test_a_system_exit_is_retried_and_the_save_in_the_background_is_found(tmp_path: Path, code: int) -> None:
    ours = action(tmp_path, "exits", code=code)
    ended = ours.run(1)
    assert (ended.ending, ended.exit_code) == (Ending.RECOVERABLE, 0), ended.log
    assert f"SystemExit({code})" in ended.error
    assert ours.run(2).outputs == {"o0": "in the background"}


def test_a_system_exit_of_an_async_task_is_retried_too(tmp_path: Path) -> None:
    ended = action(tmp_path, "exits_async", code=0).run(1)
    assert (ended.ending, ended.saves[0].checkpoint != "") == (Ending.RECOVERABLE, True), ended.log


def test_a_task_that_does_not_use_its_checkpoint_exits_as_without_us(tmp_path: Path) -> None:
    ended = action(tmp_path, "exits_unused", code=3).run(1)
    assert (ended.exit_code, ended.kind, ended.outputs) == (3, "", None)


def test_what_no_attempt_can_cure_is_final(tmp_path: Path) -> None:
    ended = action(tmp_path, "asks_for", step=7).run(1)
    assert (ended.ending, ended.exit_code) == (Ending.FAILED, 0), ended.log
    assert "step 7" in ended.error
