"""The tab "Checkpoints" in the report of a task with `report=True`: what it restored and saved, drawn.

Flyte 2 writes the report of a task that succeeds. That of one that fails is written here: it is then that
people look at it.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from typing import Any

import flyte.report
from flyte.models import TaskContext

from ckptptr.dropin.drawing import NAME, drawn
from ckptptr.flyte2.pointer_checkpoint import PointerCheckpoint
from ckptptr.lifetime import daemon

log = logging.getLogger("ckptptr")


async def add_tab(context: TaskContext, checkpoint: PointerCheckpoint, *, has_failed: bool) -> None:
    """Add the tab, unless the task has one of that name. Any error is one warning."""
    report: Any = context.report
    try:
        if NAME in report.tabs or os.environ.get("RANK", "0") != "0":
            return
        report.get_tab(NAME).replace(await daemon.aside(partial(drawn, checkpoint, "report")))
        if has_failed:
            await flyte.report.flush.aio()
    except Exception as error:  # noqa: BLE001 - no report is worth a task
        log.warning("this task has no report of its checkpoints: %s", type(error).__name__)
