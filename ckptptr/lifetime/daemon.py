"""Work in a thread of its own that keeps no interpreter from exiting."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")


def start(work: Callable[[], _T], done: Future[_T] | None = None) -> Future[_T]:
    """Do `work` in a daemon thread, with the context variables of this one; its result.

    Where the system gives no thread, as Python 3.12.0 to 3.12.2 while the process ends, it is done here.

    Args:
        done: the future to tell, where it is looked at before.
    """
    done = done or Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            result = context.run(work)
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            done.set_exception(error)
        else:
            done.set_result(result)

    try:
        threading.Thread(target=run, name="ckptptr-save", daemon=True).start()
    except RuntimeError:
        run()
    return done


async def aside(work: Callable[[], _T]) -> _T:
    """As `start`, for an event loop, which goes on meanwhile.

    What was begun is finished, also if the caller is cancelled.
    """
    return await asyncio.shield(asyncio.wrap_future(start(work)))
