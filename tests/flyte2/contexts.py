"""Contexts of tasks as Flyte 2 makes them, without a backend and without a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flyte
from flyte._context import internal_ctx
from flyte._internal.runtime import taskrunner
from flyte.models import ActionID, CheckpointPaths, RawDataPath, TaskContext
from flyte.report import Report

from ckptptr.flyte2.plugin import install, task_of
from ckptptr.flyte2.pointer_checkpoint import PointerCheckpoint
from ckptptr.lifetime import daemon
from ckptptr.nodes.flyte_paths import HOME

install()  # as `flyte.init` does

env = flyte.TaskEnvironment(name="tests")


def context(
    root: Path | str,
    attempt: int = 1,
    *,
    run: str = "r1",
    action: str = "a0",
    project: str = "p",
    domain: str = "d",
    **changes: Any,
) -> TaskContext:
    """That of one attempt of an action, on a disk or a cloud below `root`."""
    homes = [f"{root}/q7/{run}/{action}/{number}" for number in (attempt - 1, attempt)]
    given: dict[str, Any] = {
        "action": ActionID(name=action, run_name=run, project=project, domain=domain, org="o"),
        "version": "v1",
        "raw_data_path": RawDataPath(path=homes[1]),
        "output_path": f"{root}/{run}/{action}/{attempt}",
        "run_base_dir": f"{root}/{run}",
        "report": Report(name=action),
        "checkpoint_paths": CheckpointPaths(
            prev_checkpoint_path=f"{homes[0]}/{HOME}" if attempt > 1 else "",
            checkpoint_path=f"{homes[1]}/{HOME}",
        ),
    }
    return TaskContext(**given | changes)


def checkpoint(root: Path | str, attempt: int = 1, **changes: Any) -> PointerCheckpoint:
    """What `flyte.ctx().checkpoint` is in that attempt."""
    made = context(root, attempt, **changes).checkpoint
    assert isinstance(made, PointerCheckpoint)
    return made


async def run(task: Any, of: TaskContext, **inputs: Any) -> tuple[Any, Any]:
    """Run a task in a context by the SDK's own runner, and end as `a0` ends: its outputs and its error."""
    try:
        with internal_ctx().replace_task_context(of):
            outputs, error = await taskrunner.run_task(tctx=of, controller=None, task=task, inputs=inputs)
    finally:
        await daemon.aside(task_of(of).close)
    return outputs, error
