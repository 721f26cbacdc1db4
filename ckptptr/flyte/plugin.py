"""The `flytekit.plugins` entry point: active on install, off with `CKPTPTR_DISABLE=1`.

flytekit loads it at the end of `import flytekit`, unguarded and in every process. So nothing here may fail or
take time: it replaces one property, and loads the rest when a task first asks for its checkpoint. The
property works in `pyflyte run`, `pyflyte-execute` and `pyflyte-map-execute`, in any order of imports; a
replaced class `SyncCheckpoint` would not.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint

log = logging.getLogger("ckptptr")

_LOG_FORMAT = "FLYTE_SDK_LOGGING_FORMAT"
_OURS = "_ckptptr"
_POD: dict[str, PointerCheckpoint] = {}


def install() -> None:
    """Replace `ExecutionParameters.checkpoint`, once."""
    from flytekit.core.context_manager import ExecutionParameters

    stock = ExecutionParameters.checkpoint
    if isinstance(stock, _CheckpointProperty):
        return
    ExecutionParameters.checkpoint = _CheckpointProperty(stock.fget, doc=stock.__doc__)


class _CheckpointProperty(property):
    """flytekit's property; it returns our checkpoint in place of a stock one."""

    def __get__(self, parameters: Any, owner: type | None = None) -> Any:
        if parameters is None:
            return self
        try:
            given = super().__get__(parameters, owner)
        except NotImplementedError:
            found = None if is_disabled() else _of_pod()
            if found is None:
                raise
            return found
        if is_disabled():
            return given
        return _ours(parameters, given) or given


def is_disabled() -> bool:
    from ckptptr.settings import DISABLE

    return DISABLE.read()


def checkpoint_of_task(seed: str = "") -> PointerCheckpoint:
    """For `ckptptr.flyte.checkpoint`: always ours, or an error."""
    from flytekit import current_context
    from flytekit.core.context_manager import ExecutionParameters

    from ckptptr.errors import InvalidArgumentError
    from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint
    from ckptptr.flyte.task import in_flyte, locally
    from ckptptr.logs import log_to_stderr
    from ckptptr.settings import SEED

    parameters = current_context()
    try:
        given = property.__get__(ExecutionParameters.checkpoint, parameters)
    except NotImplementedError as error:
        given = _of_pod()
        if given is None and threading.current_thread() is not threading.main_thread():
            raise NotImplementedError(
                "flytekit has no task in this thread: call checkpoint() in the task's own, and pass it on"
            ) from error
        if given is None:
            raise
    made: PointerCheckpoint | None = given if isinstance(given, PointerCheckpoint) else vars(given).get(_OURS)
    if made is None:
        log_to_stderr(_LOG_FORMAT)
        ours = in_flyte(parameters, given, seed)
        made = _with_deck(parameters, _remember(ours) if ours else locally(given, seed))
        vars(given)[_OURS] = made
    elif seed not in ("", made.seed or SEED.read()):
        raise InvalidArgumentError(
            "the checkpoint of this task was used before it was given this seed",
            key=seed,
            hint=f"Give it with the first use, or set {SEED.name}",
        )
    return made


def _ours(parameters: Any, given: Any) -> PointerCheckpoint | None:
    """Our checkpoint in place of stock flytekit's; None if stock flytekit's stays.

    It is an attribute of the object that it replaces: flytekit passes that from context to context.
    """
    from flytekit.core.checkpointer import SyncCheckpoint

    if type(given) is not SyncCheckpoint:
        return None
    if _OURS not in vars(given):
        vars(given)[_OURS] = _make(parameters, given)
    made: PointerCheckpoint | None = vars(given)[_OURS]
    return made


def _make(parameters: Any, given: Any) -> PointerCheckpoint | None:
    """Only a node that is unknown, or a place that we cannot open, has stock checkpoints. All else is an
    error: stock checkpoints in the middle of an execution would begin from nothing."""
    from ckptptr.errors import InvalidArgumentError, SettingError
    from ckptptr.flyte.errors import recoverable
    from ckptptr.flyte.task import in_flyte
    from ckptptr.logs import log_to_stderr

    log_to_stderr(_LOG_FORMAT)
    try:
        with recoverable():
            ours = in_flyte(parameters, given)
    except SettingError:
        raise
    except InvalidArgumentError as error:
        log.warning("stock flytekit checkpoints are used, not ckptptr's: %s", _safe(error))
        return None
    if ours is None:
        log.info("a local run: stock flytekit saves checkpoints in %s", given._checkpoint_dest)
        return None
    return _remember(_with_deck(parameters, ours))


def _remember(ours: PointerCheckpoint) -> PointerCheckpoint:
    """A pod runs one task: a thread with an empty flytekit context gets the checkpoint of that task."""
    _POD["checkpoint"] = ours
    return ours


def _of_pod() -> PointerCheckpoint | None:
    return _POD.get("checkpoint")


def _safe(error: Exception) -> object:
    """Our own errors in full; the text of others may repeat a URL with a secret in it."""
    from ckptptr.errors import CkptptrError

    return error if isinstance(error, CkptptrError) else type(error).__name__


def _with_deck(parameters: Any, made: PointerCheckpoint) -> PointerCheckpoint:
    try:
        # Before 1.15 flytekit does not tell whether the task's decks are enabled.
        if hasattr(type(parameters), "enable_deck") and parameters.enable_deck:
            from ckptptr.flyte.deck import add_deck

            add_deck(parameters.decks, made)
    except Exception as error:  # noqa: BLE001 - no deck is worth a task
        log.warning("this task has no deck of its checkpoints: %s", _safe(error))
    return made


try:
    install()
except Exception as error:  # noqa: BLE001 - nothing may break `import flytekit`
    log.warning("ckptptr is installed but not active: %s", _safe(error))
