"""Background work: sweeps and forward copies, one at a time; a failure is an event.

What was begun is finished before the process ends, unless the process is told how long that may take:
no thread here can hold an interpreter that wants to exit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import NamedTuple

from ckptptr.events import Name, Watch
from ckptptr.lifetime.ending import ProcessEnd
from ckptptr.lifetime.forks import renew_in_child


class _Job(NamedTuple):
    watch: Watch
    work: Callable[[], None]
    done: Future[None]


class Background:
    """One worker thread, started when first needed.

    Attributes:
        until: when the end of the process stops waiting for the work, by `time.monotonic()`; None: never.
    """

    def __init__(self) -> None:
        self.until: float | None = None
        self._ending = ProcessEnd(self._wait_at_exit)
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Begin with nothing: in a fork the work is the parent's."""
        self._jobs: SimpleQueue[_Job | None] | None = None
        self._pending: list[Future[None]] = []

    def run(self, name: Name, work: Callable[[], None]) -> None:
        """Do `work` some time soon; now, if the process ends or the system gives no thread.

        Args:
            name: of the event that is its outcome: see `ckptptr.events.Watch`.
        """
        watch = Watch(name, goes_on=True)
        self._ending.register()
        jobs = self._working()
        if jobs is None:  # beside what is under way: that may need what our caller holds
            with suppress(Exception), watch:
                work()
            return
        self._pending = [future for future in self._pending if not future.done()]
        job = _Job(watch, work, Future())
        self._pending.append(job.done)
        jobs.put(job)

    def wait(self) -> None:
        """Until all that was asked for so far is done, or until `until`."""
        left = None if self.until is None else max(0.0, self.until - time.monotonic())
        for future in futures.wait(self._pending, timeout=left).done:
            future.result()

    def close(self) -> None:
        """Wait, and stop the thread."""
        self.wait()
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def _working(self) -> SimpleQueue[_Job | None] | None:
        """What the thread works at; None if there is none, or nothing will wait for it."""
        if self._jobs is None and not self._ending.has_begun:
            jobs: SimpleQueue[_Job | None] = SimpleQueue()
            with suppress(RuntimeError):
                threading.Thread(target=_work, args=(jobs,), name="ckptptr-background", daemon=True).start()
                self._jobs = jobs
        return None if self._ending.has_begun else self._jobs

    def _wait_at_exit(self) -> None:
        with suppress(KeyboardInterrupt):
            self.wait()


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while job := jobs.get():
        try:
            with suppress(Exception), job.watch:
                job.work()
        except BaseException as error:  # noqa: BLE001 - `wait` raises it
            job.done.set_exception(error)
        else:
            job.done.set_result(None)
