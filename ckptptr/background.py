"""Work that nobody waits for: sweeps and forward copies. One at a time; a failure is a log line."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

log = logging.getLogger("ckptptr")


class Background:
    """One worker thread, started when first needed; what was begun is finished before the process ends."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._pool: ThreadPoolExecutor | None = None
        self._pending: list[Future[None]] = []

    def run(self, what: str, work: Callable[[], None]) -> None:
        """Do `work` some time soon."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="ckptptr-background")
            _before_executors_close(self.wait)
        self._pending = [future for future in self._pending if not future.done()]
        self._pending.append(self._pool.submit(_guarded, what, work))

    def wait(self) -> None:
        """Until all that was asked for so far is done; in a forked process nothing is: it is the parent's."""
        for future in self._pending if self._pid == os.getpid() else ():
            future.result()

    def close(self) -> None:
        """Wait, and stop the thread."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _before_executors_close(wait: Callable[[], None]) -> None:
    """Wait at the end of the process, while threads can still be started.

    A task ends without closing its checkpoint. `atexit` comes too late for our work: by then no
    executor takes any, ours or that of an event loop that looks up a host name. The interpreter's own
    executors use this hook, and what is registered last is called first.
    """
    register: Callable[[Callable[[], None]], object] = getattr(threading, "_register_atexit", atexit.register)
    register(wait)


def _guarded(what: str, work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - nobody else would ever see it
        log.warning("%s failed and will be done another time: %s", what, error)
