"""Progress for people: a bar in a terminal, a line in the log of a pod, nothing where it is quiet.

Quick transfers say nothing. What passes is counted where it is handed to the store or comes from it.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from ckptptr.transfer.digest import Piece
from ckptptr.wording import size

FIRST_BAR = 1.0  # seconds
LINE_EVERY = 10.0

log = logging.getLogger("ckptptr")


class Progress:
    """Use as a context manager around a transfer of `total` bytes; call `add` from any thread."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._lock = threading.Lock()
        self._done = 0
        self._began = time.monotonic()
        self._is_terminal = sys.stderr.isatty() and log.isEnabledFor(logging.WARNING)
        self._next = self._began + (FIRST_BAR if self._is_terminal else LINE_EVERY)
        self._bar: Any = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._total = 0  # what still comes from threads that are being stopped is not shown
            if self._bar is not None:
                self._bar.stop()

    def over(self, blocks: Iterable[Piece]) -> Iterator[Piece]:
        """The same blocks, counted as they pass."""
        for block in blocks:
            self.add(len(block))
            yield block

    def add(self, count: int) -> None:
        """`count` more bytes have passed."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if not self._total or now < self._next:
                return
            if self._is_terminal:
                self._show()
                self._next = now
            else:
                self._next = now + LINE_EVERY
                rate = int(self._done / (now - self._began))
                share = min(100, 100 * self._done // self._total)
                log.info("%s: %d %% of %s, %s/s", self._what, share, size(self._total), size(rate))

    def _show(self) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                TextColumn,
                TimeRemainingColumn,
                TransferSpeedColumn,
            )
            from rich.progress import Progress as Bar

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._what, total=self._total)
            self._bar.start()
        self._bar.update(self._task, completed=self._done)
