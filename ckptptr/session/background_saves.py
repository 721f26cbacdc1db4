"""Background saves: one at a time, in a daemon thread.

If saves come faster than they can be sent, the waiting ones become one: the newest content wins, and files
that were added one by one are all in it. The next call raises the error of a save that failed, and so does
`wait`. The end of the process waits for them. A save that is asked for after that wait has begun, by a thread
that goes on or in `atexit`, is made at once, in its caller's thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from ckptptr.lifetime import daemon
from ckptptr.lifetime.forks import fail_in_child
from ckptptr.session.at_exit import AtExit
from ckptptr.session.content import Change
from ckptptr.session.snapshot import Snapshot

log = logging.getLogger("ckptptr")

_T = TypeVar("_T")


@dataclass(slots=True)
class _Waiting(Generic[_T]):
    """A save that has not begun; it stands for all that were asked for since the last one began."""

    snapshot: Snapshot
    step: int | None
    metadata: dict[str, Any]
    done: list[Future[_T]] = field(default_factory=list)


class Asynchronous(AtExit, Generic[_T]):
    """The background saves of one process.

    Args:
        save: makes one save; called in a daemon thread, which keeps no interpreter from exiting.
        until, node: see `AtExit`.
    """

    def __init__(
        self,
        save: Callable[[Change, int | None, dict[str, Any]], _T],
        until: Callable[[], float | None] = lambda: None,
        *,
        node: str = "",
    ) -> None:
        self._save = save
        super().__init__(node, until)

    def renew(self) -> None:
        self._changed = threading.Condition()
        self._one_at_a_time = threading.Lock()
        self._waiting: _Waiting[_T] | None = None
        self._is_busy = False
        self._failure: BaseException | None = None

    def submit(self, snapshot: Snapshot, step: int | None, metadata: Mapping[str, Any]) -> Future[_T]:
        """Save some time soon; the result is that of the save that has this content in it.

        Raises: what an earlier one failed with; this one was not taken then.
        """
        self.raise_failure()
        done: Future[_T] = Future()
        done.set_running_or_notify_cancel()
        fail_in_child(done)
        is_late = self._begins_at_exit()
        try:
            with self._changed:
                before = self._waiting
                if before is not None:
                    log.info("a waiting save and the next one become one checkpoint")
                    snapshot = before.snapshot.then(snapshot)
                earlier = before.done if before else []
                self._waiting = _Waiting(snapshot, step, dict(metadata), [*earlier, done])
                is_busy, self._is_busy = self._is_busy, True
            if not is_busy:
                if is_late:
                    self._run()
                else:
                    daemon.start(self._run)
        except BaseException:  # by a signal: perhaps no thread was started for what waits
            with self._changed:
                self._is_busy = True
            daemon.start(self._run)  # one too many finds nothing
            raise
        return done

    def raise_failure(self) -> None:
        """Raise the error of a failed save that no call has raised yet."""
        if (failure := self.take_failure()) is not None:
            raise failure

    def take_failure(self) -> BaseException | None:
        """That error, which no call raises from now on."""
        with self._changed:
            failure, self._failure = self._failure, None
        return failure

    def wait(self, until: float | None = None) -> bool:
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._is_busy, None if until is None else max(0.0, until - time.monotonic())
            )

    def _run(self) -> None:
        with self._one_at_a_time:
            try:
                self._save_what_waits()
            except BaseException as error:
                with self._changed:  # a bug, or a disk that refuses to give back: wake the waiters
                    self._is_busy, self._failure = False, self._failure or error
                    self._changed.notify_all()
                raise

    def _save_what_waits(self) -> None:
        while (job := self._next()) is not None:
            try:
                result = self._save(job.snapshot.change, job.step, job.metadata)
            except BaseException as error:  # noqa: BLE001 - the next call raises it
                self._failed(job, error)
            else:
                job.snapshot.release()
                for done in job.done:
                    done.set_result(result)

    def _next(self) -> _Waiting[_T] | None:
        with self._changed:
            job, self._waiting = self._waiting, None
            if job is None:
                self._is_busy = False
                self._changed.notify_all()
            return job

    def _failed(self, job: _Waiting[_T], error: BaseException) -> None:
        try:
            job.snapshot.give_back()
        finally:
            with self._changed:
                self._failure = error
            for done in job.done:
                done.set_exception(error)
