"""The `flyte.plugins.types` entry point: active on install, off with `CKPTPTR_DISABLE=1`.

Flyte 2 loads it when it is initialised, before a task's module is imported, in every process that runs tasks.
So nothing here may fail or take time: it replaces one property and one function, and loads the rest when a
task first asks for its checkpoint.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ckptptr.flyte2.pointer_checkpoint import PointerCheckpoint
    from ckptptr.flyte2.task import Task

log = logging.getLogger("ckptptr")

_KEY = "_ckptptr"
"""Under which a context has our `Task`. Every copy of a context has the same one."""

_lock = threading.Lock()


def install() -> None:
    """Replace `TaskContext.checkpoint`, and the function that runs tasks, once."""
    try:
        from flyte.models import TaskContext

        stock = vars(TaskContext)["checkpoint"]
        if not isinstance(stock, _CheckpointProperty):
            ours = _CheckpointProperty(stock.fget, doc=stock.__doc__)
            TaskContext.checkpoint = ours
        if "flyte._internal.runtime.taskrunner" in sys.modules:  # where tasks run, it is
            from ckptptr.flyte2.running import follow

            follow(sys.modules["flyte._internal.runtime.taskrunner"])
    except Exception as error:  # noqa: BLE001 - nothing may break a task that would run without us
        log.warning("ckptptr is installed but not active: %s", type(error).__name__)


class _CheckpointProperty(property):
    """Flyte 2's property; it returns our checkpoint in place of a stock one."""

    def __get__(self, context: Any, owner: type | None = None) -> Any:
        if context is None:
            return self
        if not is_remote(context) or is_disabled():
            return super().__get__(context, owner)
        return task_of(context).replacement(context) or super().__get__(context, owner)


def is_disabled() -> bool:
    from ckptptr.settings import DISABLE

    return DISABLE.read()


def is_remote(context: Any) -> bool:
    """Whether it is a task's in a pod, with checkpoints. Local runs keep the stock ones."""
    paths = context.checkpoint_paths
    return context.mode == "remote" and bool(paths and (paths.checkpoint_path or "").strip())


def task_of(context: Any, name: str = "") -> Task:
    """What we keep of the task that runs in a context.

    Args:
        name: of the task, if known.
    """
    from ckptptr.flyte2.task import Task

    with _lock:
        found: Task = context.data.setdefault(_KEY, Task(name))
    return found


def checkpoint_of_task(seed: str = "") -> PointerCheckpoint:
    """For `ckptptr.flyte2.checkpoint`: always ours, or an error."""
    import flyte
    from flyte.errors import NotInTaskContextError

    context = flyte.ctx()
    if not context:
        raise NotInTaskContextError(
            "NotInTaskContext",
            "there is no task in this thread: call checkpoint() in the task's own, and pass it on",
        )
    return task_of(context).ours(context, seed)
