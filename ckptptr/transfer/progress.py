"""Progress for people: a bar in a terminal, a line in the log of a pod every ten seconds.

One transfer has one progress. Its bytes are counted as they go to the store or come from it.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Any

from ckptptr.transfer.digest import B
from ckptptr.transfer.limit import Measured, cores
from ckptptr.wording import moved, size

log = logging.getLogger("ckptptr")

_FIRST_BAR = 1.0  # seconds
_BAR_EVERY = 0.1
_SLOW = 10.0
"""Seconds: a transfer that took longer says what limited it."""


class Progress:
    """Use as a context manager around a transfer of `total` bytes; call `add` from any thread.

    Args:
        verb: what happens to the bytes, for people: `saving`.
        at_once: draw the bar from the start. By default it appears after one second.
        line_every: seconds between two lines in the log, where no terminal shows a bar.
        clock, cpu: seconds, as `time.monotonic` and `time.process_time`.
    """

    def __init__(
        self,
        verb: str,
        total: int | None,
        *,
        at_once: bool = False,
        line_every: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self.measured = Measured(clock, cpu)
        self._verb = verb
        self._total = total
        self._is_over = total == 0
        self._line_every = line_every
        self._clock = clock
        self._lock = threading.Lock()
        self._done = 0
        self._began = clock()
        # None where the process was started with it closed
        has_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._is_terminal = has_terminal and log.isEnabledFor(logging.WARNING)
        first_bar = 0.0 if at_once else _FIRST_BAR
        self._next = self._began + (first_bar if self._is_terminal else line_every)
        self._bar: Any = None

    @property
    def done(self) -> int:
        """How many bytes have passed."""
        return self._done

    def __enter__(self) -> Progress:
        self.add(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._is_over = True  # late bytes of other threads are not drawn any more
            if self._bar is not None:
                self._bar.stop()
        seconds = self._clock() - self._began
        if error is None and seconds >= _SLOW and (limit := self.measured.limit(self._done, cores())):
            log.info("%s: %s; the limit was %s", self._verb, moved(self._done, seconds), limit)

    def over(self, blocks: Iterable[B]) -> Iterator[B]:
        """The same blocks, counted as they pass."""
        source, begun = iter(blocks), self._clock()
        while (block := next(source, None)) is not None:
            self.add(len(block), begun)
            yield block
            begun = self._clock()

    def add(self, count: int, begun: float | None = None) -> None:
        """`count` more bytes have passed; since it was `begun`, this machine was busy with them."""
        with self._lock:
            self._done += count
            now = self._clock()
            if begun is not None:
                self.measured.here += now - begun
            if self._is_over or now < self._next:
                return
            if self._is_terminal:
                self._show()
                self._next = now + _BAR_EVERY
            else:
                self._next = now + self._line_every
                log.info("%s: %s", self._verb, self._said(now - self._began))

    def _said(self, seconds: float) -> str:
        total = self._total or 0
        share = min(100, 100 * self._done // total)
        return f"{share} % of {size(total)}, {size(int(self._done / seconds))}/s"

    def _show(self) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            text = TextColumn("{task.description}")
            columns = (text, BarColumn(), *self._columns(), TimeRemainingColumn())
            # It is drawn here: a thread of its own may not start, and stays behind in a fork.
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
            self._task = self._bar.add_task(self._verb, total=self._total)
            self._bar.start()
        self._bar.update(self._task, completed=self._done, refresh=True)

    def _columns(self) -> tuple[Any, ...]:
        from rich.progress import DownloadColumn, TransferSpeedColumn

        return DownloadColumn(binary_units=True), TransferSpeedColumn()


class Counting(Progress):
    """The same of objects: listed, of an unknown `total` (None), or deleted."""

    def _said(self, seconds: float) -> str:
        of = "" if self._total is None else f" of {self._total:,}"
        return f"{self._done:,}{of} objects, {int(self._done / seconds):,}/s"

    def _columns(self) -> tuple[Any, ...]:
        from rich.progress import TextColumn

        of = "" if self._total is None else " of {task.total:,.0f}"
        return (TextColumn(f"{{task.completed:,.0f}}{of} objects"),)


Showing = Callable[[int], Progress]
"""The progress of a transfer of that many bytes."""

SAVING: Showing = partial(Progress, "saving")
RESTORING: Showing = partial(Progress, "restoring")


def at_once(verb: str) -> Showing:
    """For a command: somebody watches, so the bar is there from the start."""
    return partial(Progress, verb, at_once=True)
