"""Work for the main thread, which runs an event loop, from another thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeAlias

InMain: TypeAlias = Callable[[Callable[[], Any]], Any]
"""Does work in the main thread and returns its result."""

PATIENCE = 5.0
"""For how many seconds the loop may be busy."""


def by_loop(loop: asyncio.AbstractEventLoop) -> InMain:
    """By the event loop of the main thread; in that thread itself at once.

    What it returns raises TimeoutError: the loop is busy, or has ended.
    """

    def in_main(work: Callable[[], Any]) -> Any:
        if threading.current_thread() is threading.main_thread():
            return work()
        done: Future[Any] = Future()

        def do() -> None:
            if done.set_running_or_notify_cancel():
                try:
                    done.set_result(work())
                except BaseException as error:  # noqa: BLE001 - `result` raises it
                    done.set_exception(error)

        try:
            loop.call_soon_threadsafe(do)
            return done.result(PATIENCE)
        except (RuntimeError, TimeoutError, FutureTimeoutError):
            done.cancel()
            raise TimeoutError("the event loop of the main thread is busy, or has ended") from None

    return in_main
