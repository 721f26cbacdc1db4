"""Background work: sweeps and forward copies, one at a time; a failure is an event.

What was begun is finished before the process ends, unless the process is told how long that may take:
no thread here can hold an interpreter that wants to exit.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from types import MethodType
from typing import NamedTuple

from ckptptr.events import Name, Watch


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
        self._pid = os.getpid()
        self.until: float | None = None
        self._jobs: SimpleQueue[_Job | None] | None = None
        self._pending: list[Future[None]] = []

    def run(self, name: Name, work: Callable[[], None]) -> None:
        """Do `work` some time soon; now, where the process ends: then nothing waits for it any more.

        Args:
            name: of the event that is its outcome: see `ckptptr.events.Watch`.
        """
        watch = Watch(name, goes_on=True)
        if self._jobs is None:
            jobs: SimpleQueue[_Job | None] = SimpleQueue()
            try:
                before_executors_close(self.wait)
                threading.Thread(target=_work, args=(jobs,), name="ckptptr-background", daemon=True).start()
            except RuntimeError:
                with suppress(Exception), watch:
                    work()
                return
            self._jobs = jobs
        self._pending = [future for future in self._pending if not future.done()]
        job = _Job(watch, work, Future())
        self._pending.append(job.done)
        self._jobs.put(job)

    def wait(self) -> None:
        """Until all that was asked for so far is done, or until `until`.

        In a forked process nothing is: it is the parent's.
        """
        if self._pid != os.getpid():
            return
        left = None if self.until is None else max(0.0, self.until - time.monotonic())
        for future in futures.wait(self._pending, timeout=left).done:
            future.result()

    def close(self) -> None:
        """Wait, and stop the thread."""
        self.wait()
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None


def before_executors_close(act: Callable[[], None]) -> None:
    """Do something at the end of the process, while threads can still be started.

    A task ends without closing its checkpoint. `atexit` comes too late for our work: by then no
    executor takes any, ours or that of an event loop that looks up a host name. The interpreter's own
    executors use this hook, and what is registered last is called first.

    A method does not keep its object: a process may have many, one after the other. While work of ours is
    under way, its thread keeps it.
    """
    register: Callable[[Callable[[], None]], object] = getattr(threading, "_register_atexit", atexit.register)
    register(_weak(act) if isinstance(act, MethodType) else act)


def _weak(method: MethodType) -> Callable[[], None]:
    reference = weakref.WeakMethod(method)

    def call() -> None:
        alive = reference()
        if alive is not None:
            alive()

    return call


def abandon_executors() -> None:
    """Let the interpreter exit while threads of executors hang in a request.

    It joins the threads of every `ThreadPoolExecutor`, daemons included. Threads that a daemon started are
    daemons: so are those of all work here, and of the event loops that fsspec runs.
    """
    joined = getattr(futures.thread, "_threads_queues", {})
    for thread in [thread for thread in joined if thread.daemon]:
        del joined[thread]


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while job := jobs.get():
        try:
            with suppress(Exception), job.watch:
                job.work()
        except BaseException as error:  # noqa: BLE001 - `wait` raises it
            job.done.set_exception(error)
        else:
            job.done.set_result(None)
