"""Around a task that Flyte 2 runs: all copies of its context share one checkpoint, and its end is tidy.

- `SystemExit` in a task would end the process with neither outputs nor an error, and code 0. (Lightning
  raises it on SIGTERM.) So it becomes an error that Flyte retries, after the background saves.
- When the outputs are made, threads and temporary folders of the checkpoint go: a reusable container runs
  task after task.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from ckptptr.flyte2.plugin import task_of
from ckptptr.lifetime import daemon

log = logging.getLogger("ckptptr")

_Run = Callable[..., Awaitable[Any]]

_ours: ContextVar[list[Any]] = ContextVar("ckptptr_tasks")
"""The tasks of this run; there is one."""


def follow(taskrunner: ModuleType) -> None:
    """Replace the functions of the SDK's `taskrunner` that run a task, once."""
    for name, around in (("run_task", _run_task), ("convert_and_run", _convert_and_run)):
        stock = getattr(taskrunner, name)
        if not hasattr(stock, "__ckptptr__"):
            ours = functools.wraps(stock)(functools.partial(around, stock))
            vars(ours)["__ckptptr__"] = True
            setattr(taskrunner, name, ours)


async def _run_task(stock: _Run, tctx: Any, controller: Any, task: Any, inputs: Any) -> Any:
    ours = task_of(tctx, name=task.name)
    _ours.get([]).append(ours)
    ours.runs_in(asyncio.get_running_loop())
    try:
        return await stock(tctx=tctx, controller=controller, task=task, inputs=inputs)
    except SystemExit as error:
        if not ours.is_used:
            raise
        return {}, await daemon.aside(functools.partial(ours.exited, error))


async def _convert_and_run(stock: _Run, **given: Any) -> Any:
    running: list[Any] = []
    token = _ours.set(running)
    try:
        return await stock(**given)
    finally:
        _ours.reset(token)
        for ours in running:
            daemon.start(ours.close)
