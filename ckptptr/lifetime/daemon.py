"""Work in a thread of its own that keeps no interpreter from exiting."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from ckptptr.errors import LocalMachineError
from ckptptr.lifetime.forks import fail_in_child

log = logging.getLogger("ckptptr")

_T = TypeVar("_T")


def start(work: Callable[[], _T], done: Future[_T] | None = None, *, beside: bool = False) -> Future[_T]:
    """Do `work` in a daemon thread, with the context variables of this one; its result.

    Where the system gives no thread, it is done here: a machine may have no more of them, and Python 3.12.0
    to 3.12.2 starts none while the process ends.

    Args:
        done: the future to tell, where it is looked at before.
        beside: it has to go on beside the caller, and so cannot be done here.

    Raises:
        LocalMachineError: `beside`, and the system gives no thread.
    """
    done = done or Future()
    fail_in_child(done)
    run = partial(done_now, partial(contextvars.copy_context().run, work), done)
    try:
        threading.Thread(target=run, name="ckptptr-save", daemon=True).start()
    except RuntimeError as error:
        if beside:
            raise no_thread(error) from error
        log.info("done without a thread of its own: %s", error)
        run()
    return done


def done_now(work: Callable[[], _T], done: Future[_T] | None = None) -> Future[_T]:
    """Do `work` here; its result, told to `done` where there is one."""
    done = done or Future()
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - `result` raises it
        done.set_exception(error)
    else:
        done.set_result(result)
    return done


def no_thread(error: RuntimeError) -> LocalMachineError:
    """What it means that Python starts no thread for something that cannot do without."""
    if "shutdown" in str(error):
        return LocalMachineError("this process ends, and Python starts no more threads")
    return LocalMachineError(
        "this machine starts no more threads",
        hint="Start fewer processes and threads, or raise the limit: `ulimit -u`, pids.max, podPidsLimit",
    )


async def aside(work: Callable[[], _T]) -> _T:
    """As `start`, for an event loop, which goes on meanwhile.

    What was begun is finished, also if the caller is cancelled.
    """
    return await asyncio.shield(asyncio.wrap_future(start(work)))
