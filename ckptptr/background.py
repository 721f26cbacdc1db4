"""Work that nobody waits for: sweeps and forward copies. One at a time; a failure is a log line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from ckptptr.errors import CkptptrError

log = logging.getLogger("ckptptr")


class Background:
    """A single worker thread, started when first needed and finished at exit."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._pending: list[Future[None]] = []

    def run(self, what: str, work: Callable[[], None]) -> None:
        """Do `work` some time soon."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="ckptptr-background")
        self._pending = [future for future in self._pending if not future.done()]
        self._pending.append(self._pool.submit(_guarded, what, work))

    def wait(self) -> None:
        """Until all that was asked for so far is done."""
        for future in self._pending:
            future.result()

    def close(self) -> None:
        """Wait, and stop the thread."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _guarded(what: str, work: Callable[[], None]) -> None:
    try:
        work()
    except CkptptrError as error:
        log.warning("%s failed and will be done another time: %s", what, error)
