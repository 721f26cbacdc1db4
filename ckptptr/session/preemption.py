"""A process that is told to end: one last save, with a deadline.

A machine is taken away with SIGTERM, and SIGKILL comes some seconds later; the kernel does not even
deliver SIGTERM to a process with id 1 that has no handler for it. The rules kept here:

- The handler raises in the main thread, so that the loop unwinds, but never inside our own code: a
  save that is interrupted half-way would leave the session broken. A save that is under way is
  the last one. A block in another thread, or in an event loop, cannot be interrupted: there the next save
  raises.
- Saves and restores of a block run in a daemon thread, and their callers wait. So the wait ends at
  the deadline whatever hangs, and no thread keeps the interpreter from exiting.
- What is abandoned sends no further request: LATEST stays on the last whole checkpoint.
- A restore is abandoned at once: a process that restores has nothing new to save.
"""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent import futures
from concurrent.futures import Future
from functools import partial
from types import FrameType, TracebackType
from typing import Any, Generic, TypeVar

from ckptptr.errors import InvalidArgumentError, PreemptedError
from ckptptr.events import Event, emit
from ckptptr.lifetime import daemon
from ckptptr.lifetime.ending import abandon_executors, before_executors_close
from ckptptr.lifetime.main_thread import InMain, by_loop
from ckptptr.session import signals as handled
from ckptptr.session.session import Session

log = logging.getLogger("ckptptr")

DEADLINE = 20.0
"""Seconds from the signal. Kubernetes kills after `terminationGracePeriodSeconds`, which is 30 unless set."""

LOOK_UP = 0.2
"""How many seconds one wait lasts. A signal that comes just before the main thread begins to wait
does not interrupt it: Python calls the handler when the wait is over."""

SIGNALS = (signal.SIGTERM,)

_T = TypeVar("_T")


class Preemption:
    """The block of `Checkpoints.on_preemption`: a signal ends it after one last save, within a deadline.

    After the signal comes:

    - A blocking save that is running is finished, and is the last one. A restore is abandoned at once, and
      no last save is made. Otherwise the end of the block calls `save`.
    - What has not finished by the deadline is abandoned: it sends no further request.
    - The block raises `PreemptedError`, also if code inside swallowed the first one. Nothing of ours keeps
      the process from ending then.
    - More signals are ignored. An earlier Python handler runs after the last save, and is put back.

    A library may install a handler inside the block, as trainers do. Each save, restore and `check`, and
    the end of the block, look for that. They warn, and install ours again, which also calls theirs: after
    the last save; at once where the signal does not raise in the main thread. After the block theirs stays.
    A handler that a library in C installs is not seen.

    Python handles signals between its own instructions: not while a C function computes.

    `async with` does the same in an event loop of the main thread, without blocking it. There, as with
    `interrupt=False`, only `check` and saves raise.

    Args:
        save: makes the last save; called in another thread, with the context variables of this one.
        wait: waits for background saves, until a time by `time.monotonic()`; returns what one failed with.
        deadline: seconds from the signal.
        interrupt: whether the signal raises wherever the main thread is, or only `check` and saves do.
        raises: the error that ends the block.
        in_main: for a block that is not entered in the main thread: does what only that one may do.
    """

    def __init__(
        self,
        session: Session,
        save: Callable[[], object] | None,
        *,
        wait: Callable[[float | None], BaseException | None],
        deadline: float,
        signals: Iterable[int],
        interrupt: bool,
        raises: type[PreemptedError],
        in_main: InMain | None = None,
    ) -> None:
        if not (deadline > 0 and math.isfinite(deadline)):
            raise InvalidArgumentError(f"deadline is {deadline!r}, not a number of seconds above 0")
        self._session = session
        self._save = save
        self._wait = wait
        self._deadline = deadline
        self._signals = tuple(dict.fromkeys(signals))
        self._interrupt = interrupt
        self._raises = raises
        self._in_main = in_main
        self._heard: list[int] = []
        self._others: dict[int, list[handled.Handler]] = {}
        self._raised: BaseException | None = None
        self._can_look = True
        self._is_inside = False
        self._is_ending = False
        self._is_abandoned = False
        self._operations: set[_Operation[Any]] = set()
        self._signal: signal.Signals | None = None
        self._until: float | None = None
        self._repeated = 0
        self._outcome = "no save was under way"
        self._verdict = "nothing"
        self._is_saved = False

    @property
    def is_in_force(self) -> bool:
        """Whether saves and restores run by `run`: inside the block, and for ever once one was abandoned."""
        return self._is_inside or self._is_abandoned

    def __enter__(self) -> Preemption:
        if self._in_main is None and threading.current_thread() is not threading.main_thread():
            raise InvalidArgumentError(
                "on_preemption handles a signal, which Python allows in the main thread only",
                hint="Enter the block there, around what starts the threads",
            )
        self._is_inside = True
        for number in self._signals:
            try:
                self._heard.append(number)
                self._do_in_main(partial(handled.listen, number, self._handle))
            except (ValueError, OSError) as error:  # TimeoutError is one of them
                self._put_back()
                raise InvalidArgumentError(f"signal {number!r} cannot be handled: {error}") from error
        if self._signal is not None:  # it came just now, and was only noted
            self.__exit__(None, None, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.look()
        if self._signal is None:
            self._put_back()
        if self._signal is None:  # it may have come until the handlers were back
            return
        try:
            with self._session.watch("preemption"):
                failure = self._last_save()
        finally:
            self._put_back()
        self._call_others(self._signal)
        causes = (failure, self._raised, error)
        raise self._error() from next((c for c in causes if c and not isinstance(c, PreemptedError)), None)

    async def __aenter__(self) -> Preemption:
        if self._in_main is None and threading.current_thread() is threading.main_thread():
            self._in_main = by_loop(asyncio.get_running_loop())
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await daemon.aside(lambda: self.__exit__(kind, error, trace))

    def check(self) -> None:
        """End the block here, if the signal has come: between two steps, where `interrupt` is False.

        Raises:
            PreemptedError: it has.
        """
        self.look()
        if self._signal is not None:
            raise self._error()

    def end_the_loop(self) -> None:
        """As `check`, before a background save: no loop would hear of the signal from what its thread meets.
        The block's own last save may be one."""
        if self._is_inside and not self._is_ending:
            self.check()

    def look(self) -> None:
        """Put our handlers in again, where other code has put in its own; see `signals.renew`."""
        if self._in_main is None and threading.current_thread() is not threading.main_thread():
            return
        for number in filter(handled.is_replaced, self._heard if self._can_look else ()):
            try:
                self._do_in_main(partial(handled.renew, number))
            except TimeoutError as error:
                self._can_look = False  # each further one would wait as long
                log.warning("%s has another handler, which stays: %s", signal.Signals(number).name, error)

    def run(self, work: Callable[[], _T], *, is_save: bool, in_background: bool = False) -> _T:
        """Do `work` where it can be abandoned; a restore is, as soon as the signal comes.

        Args:
            in_background: it is a background save: the block's own `save` is still made.

        Raises:
            PreemptedError: the signal came. In the thread of the block also where the save was finished all
                the same: so a loop that swallows errors meets it again at its next save.
        """
        if self._is_abandoned or self._left() == 0:
            raise self._error()
        operation = _Operation(work, is_save=is_save)
        self._operations.add(operation)
        operation.start()
        if not operation.wait(self._left if is_save else lambda: None if self._signal is None else 0.0):
            self._abandon(operation)
            raise self._error()
        was_the_last = self._signal is not None and self._confirms(operation)
        self._is_saved |= was_the_last and not in_background
        self._operations.discard(operation)
        result = operation.done.result()
        is_ours = self._in_main is not None or threading.current_thread() is threading.main_thread()
        if was_the_last and is_ours and not in_background:
            raise self._error()
        return result

    def _handle(self, number: int, frame: FrameType | None, call_theirs: Callable[[], None]) -> None:
        """Handle the signal. Nothing is logged: what it interrupts may be in the middle of writing a line."""
        if self._signal is not None:
            self._repeated += 1
            return
        self._until = self._session.background.until = time.monotonic() + self._deadline
        self._signal = signal.Signals(number)
        if self._interrupt and self._in_main is None:
            if not _is_in_this_module(frame):
                raise self._error()
            return
        try:  # the loop goes on: theirs may end it
            call_theirs()
        except BaseException as error:  # noqa: BLE001 - SystemExit, say: it may be in the middle of a step
            self._raised = error

    def _last_save(self) -> BaseException | None:
        """End what is under way, or else save once more; why that failed, if it did."""
        self._is_ending = True
        log.warning("%s; %.1f s are left until the deadline", self._told(), self._left())
        failure = self._wait_for_background()
        if failure is not None and self._verdict == "nothing":
            self._fail(failure)
        for operation in tuple(self._operations):  # of other threads
            if operation.is_save and operation.wait(self._left):
                self._is_saved |= self._confirms(operation)
            else:
                self._abandon(operation)
        if self._save and not (self._is_saved or self._is_abandoned):
            failure = self._save_once_more(self._save)
        if self._repeated:
            log.warning("it was told so %d times more, which was ignored", self._repeated)
        error = self._error()
        verdict = self._verdict
        emit(Event("preemption", str(error), level=logging.WARNING, verdict=verdict, error=error.code))
        return failure

    def _save_once_more(self, save: Callable[[], object]) -> BaseException | None:
        operation, before = _Operation(save, is_save=True), self._outcome
        operation.start()
        if not operation.wait(self._left):
            self._abandon(operation)
            return None
        later = self._wait_for_background()
        failure = operation.done.exception() or later
        if failure is not None and self._outcome == before:
            self._fail(failure)
        return failure

    def _wait_for_background(self) -> BaseException | None:
        """Until the background saves are done; why one failed: what we save next must not raise that."""
        failure = self._wait(self._until)
        if failure is None or isinstance(failure, PreemptedError):  # it was abandoned, which is said
            return None
        log.warning("a background save failed: %s", failure)
        return failure

    def _fail(self, failure: BaseException) -> None:
        self._outcome, self._verdict = f"the last save failed ({failure})", "failed"

    def _call_others(self, number: signal.Signals) -> None:
        """Do what the handlers of other code would have done."""
        for handler in self._others.get(number, ()):
            try:
                handler(number, sys._getframe())
            except BaseException as error:  # noqa: BLE001 - SystemExit, say: the block ends with our error
                self._raised = self._raised or error
        if self._raised:
            log.warning("another handler of %s raised %r", number.name, self._raised)

    def _put_back(self) -> None:
        while self._heard:
            number = self._heard.pop()
            try:
                self._others[number] = self._do_in_main(partial(handled.leave, number, self._handle))
            except TimeoutError as error:
                log.warning("the handler of %s stays: %s", signal.Signals(number).name, error)
        self._is_inside = False

    def _do_in_main(self, work: Callable[[], Any]) -> Any:
        return work() if self._in_main is None else self._in_main(work)

    def _confirms(self, operation: _Operation[Any]) -> bool:
        """Whether it was the last save, and went well."""
        if not operation.is_save or operation.done.exception() is not None:
            return False
        self._outcome = f"the last save is confirmed, LATEST is on {self._target()}"
        self._verdict = "confirmed"
        return True

    def _abandon(self, operation: _Operation[Any]) -> None:
        if self._is_abandoned:
            return
        target = self._target()
        if self._session.latest.key in self._session.stop():
            target += ", unless its very last request still lands"
        self._is_abandoned = True
        before_executors_close(abandon_executors)
        seconds = self._deadline - (self._left() or 0.0)
        what = "the last save" if operation.is_save else "the restore"
        self._outcome = f"{what} was abandoned after {seconds:.1f} s, LATEST stays on {target}"
        self._verdict = "abandoned"

    def _left(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def _target(self) -> str:
        """What LATEST names, as far as this process knows."""
        pointer = self._session.seen.pointer if self._session.seen else None
        if pointer is None:
            return "what it was on"
        return pointer.target.checkpoint if pointer.target.step is None else f"step {pointer.target.step}"

    def _told(self) -> str:
        return f"this process is told to end by {self._signal.name if self._signal else 'nobody'}"

    def _error(self) -> PreemptedError:
        return self._raises(f"{self._told()}; {self._outcome}")


class _Operation(Generic[_T]):
    """Work in a daemon thread, and the wait for it."""

    def __init__(self, work: Callable[[], _T], *, is_save: bool) -> None:
        self.is_save = is_save
        self.done: Future[_T] = Future()
        self._work = work

    def start(self) -> None:
        daemon.start(self._work, self.done)

    def wait(self, left: Callable[[], float | None]) -> bool:
        """Until it is done, or no seconds are left (None: no end to them); whether it is done."""
        while not self.done.done():
            seconds = left()
            if seconds == 0:
                return False
            futures.wait([self.done], timeout=LOOK_UP if seconds is None else min(seconds, LOOK_UP))
        return True


def _is_in_this_module(frame: FrameType | None) -> bool:
    """Whether the signal interrupted code of this module, or what that code called. It looks for the signal
    itself, and must not be left half-way. A flag would not do: a signal may come just before it is set."""
    while frame is not None and frame.f_globals is not globals():
        frame = frame.f_back
    return frame is not None
