"""What we keep of a running task: its checkpoint, made when the task first asks for it."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

from flyte.errors import CustomError
from flyte.models import TaskContext

from ckptptr.errors import InvalidArgumentError, SettingError
from ckptptr.flyte2.errors import FinalInvalidArgumentError, final
from ckptptr.flyte2.place import LocalPlace, Place
from ckptptr.flyte2.pointer_checkpoint import PointerCheckpoint
from ckptptr.lifetime.main_thread import InMain, by_loop
from ckptptr.logs import log_to_stderr
from ckptptr.settings import SEED

log = logging.getLogger("ckptptr")

_LOG_FORMAT = "LOG_FORMAT"


class Task:
    """One running task. Any thread may use it, and a process that it was pickled for.

    Args:
        name: of the task, if known.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._lock = threading.Lock()
        self._made: PointerCheckpoint | None = None
        self._has_stock = False
        self._in_main: InMain | None = None

    def runs_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """The task runs in this event loop, or in a thread beside it."""
        if threading.current_thread() is threading.main_thread():
            self._in_main = by_loop(loop)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_lock": None, "_in_main": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def replacement(self, context: TaskContext) -> PointerCheckpoint | None:
        """Ours in place of the stock one; None if the stock one stays.

        Only an action that is unknown, or a place that we cannot open, has stock checkpoints. All else is an
        error: stock checkpoints in the middle of a run would begin from nothing.
        """
        with self._lock:
            if self._made is None and not self._has_stock:
                log_to_stderr(_LOG_FORMAT)
                try:
                    with final():
                        self._made = self._in_flyte(context)
                except SettingError:
                    raise
                except InvalidArgumentError as error:
                    self._has_stock = True
                    log.warning("stock Flyte checkpoints are used, not ckptptr's: %s", error)
            return self._made

    def ours(self, context: TaskContext, seed: str = "") -> PointerCheckpoint:
        """Ours, also in a local run.

        Raises: as `ckptptr.flyte2.checkpoint`.
        """
        with self._lock, final():
            if self._made is None:
                log_to_stderr(_LOG_FORMAT)
                is_local = context.mode != "remote"
                self._made = self._locally(context, seed) if is_local else self._in_flyte(context, seed)
            elif seed not in ("", self._made.place.seed or SEED.read()):
                raise FinalInvalidArgumentError(
                    "the checkpoint of this task was used before it was given this seed",
                    key=seed,
                    hint=f"Give it with the first use, or set {SEED.name}",
                )
            return self._made

    @property
    def is_used(self) -> bool:
        """Whether the task has asked for its checkpoint, and got ours."""
        return self._made is not None

    def exited(self, error: SystemExit) -> Exception:
        """The error in place of a `SystemExit`, once the background saves are done."""
        told = f"SystemExit({error.code!r}) in the task: without this error Flyte would see no end of it"
        if self._made is not None:
            try:
                self._made.wait()
            except Exception as failure:  # noqa: BLE001 - it is told
                told += f"; its last save failed ({failure})"
        log.warning("%s", told)
        recoverable: Exception = CustomError("SystemExit", told)
        return recoverable

    def close(self) -> None:
        """The task has ended, and its outputs are made."""
        if self._made is not None:
            self._made.close()

    def _in_flyte(self, context: TaskContext, seed: str = "") -> PointerCheckpoint:
        return PointerCheckpoint(Place.of(context, task=self.name, seed=seed), self._in_main)

    def _locally(self, context: TaskContext, seed: str) -> PointerCheckpoint:
        place = LocalPlace.of(context, seed)
        log.info("a local run: checkpoints are saved in %s", place.folder)
        return PointerCheckpoint(place, self._in_main)
