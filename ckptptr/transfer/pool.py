"""Many small pieces of work on a few threads: the first failure stops the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

from ckptptr.lifetime import daemon

WORKERS = 8

FEW = 8
"""Threads at first: a fast link, or a busy CPU, needs no more, and more would only cost time."""
FEWER = 4
"""The same for small files. Most of their time is Python's, and one thread at a time has that."""
_LATE = 0.015
"""Seconds: where nothing has moved by then, it is the answers that take the time."""
_WHERE_LATE = 32
"""Threads that follow then."""
_MORE = 1.4
"""Where twice as many threads move that many times as much, it is worth to double them again."""
_ALL = 1.8
"""Where they move that many times as much, nothing but their number limits: four times as many follow."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_all(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int = WORKERS,
    most: int = 0,
    moved: Callable[[], int] = int,
    look: float = 0.1,
) -> list[Result]:
    """`[work(item) for item in items]`, in parallel; what has not begun when one fails never begins.

    `items` are asked for as they are needed: there may be very many.

    Args:
        workers: how many threads.
        most: if that is more, twice as many threads follow soon, and again, up to `most`, each time that
            these were seen to move more; four times as many where these moved almost twice as much, and
            many at once where the first answers are late.
        moved: how much the store has answered so far, in bytes.
        look: seconds for which it is looked at how much moves.

    Raises what the first of the items that failed has raised.
    """
    todo = iter(items)
    first = [*islice(todo, max(workers, most, 2))]
    if len(first) <= 1:
        return [work(item) for item in first]
    # The threads help themselves: a future for each item would cost more.
    left = enumerate(chain(first, todo))
    lock, is_over = threading.Lock(), threading.Event()
    done: list[Any] = []
    failed: dict[int, BaseException] = {}

    def help_yourself() -> None:
        try:
            while not is_over.is_set():
                with lock:
                    following = next(left, None)
                    if following is None:
                        break
                    number, item = following
                    done.append(None)
                try:
                    done[number] = work(item)
                except BaseException as error:
                    failed[number] = error
                    raise
        finally:  # also where `items` raises: nothing is left to wait for
            is_over.set()

    threads: list[Future[None]] = []

    def start(count: int) -> None:
        while not is_over.is_set() and len(threads) < min(count, len(first)):
            threads.append(daemon.start(help_yourself))

    try:
        start(workers)
        if workers < min(most, len(first)):
            _add(start, workers, most, _Moving(moved, is_over, look))
        wait(threads, return_when=FIRST_EXCEPTION)
    finally:  # also when this thread is interrupted: what has not begun is not waited for
        is_over.set()
        wait(threads)
    if failed:
        raise failed[min(failed)]
    for thread in threads:
        thread.result()  # raises what `items` raised
    return done


@dataclass(frozen=True, slots=True)
class _Moving:
    """What is seen of a transfer: see `run_all`."""

    moved: Callable[[], int]
    is_over: threading.Event
    look: float

    def is_late(self) -> bool:
        """Whether the first answers are."""
        return not self.is_over.wait(_LATE) and not self.moved()

    def paces(self) -> Iterator[float]:
        """How much has moved in a second, on average since the last threads had time to begin."""
        self.is_over.wait(self.look / 2)
        begun, before = time.monotonic(), self.moved()
        while not self.is_over.wait(self.look):
            if self.moved() == before:  # no answer yet
                begun = time.monotonic()
            else:
                yield (self.moved() - before) / (time.monotonic() - begun)


def _add(start: Callable[[int], None], few: int, most: int, moving: _Moving) -> None:
    """More threads, as long as these move more; returns at `most`, or when nothing is left."""
    count, before = few, 0.0
    if moving.is_late():
        count = min(_WHERE_LATE, most)
        start(count)
    while count < most and (pace := next((now for now in moving.paces() if now > _MORE * before), None)):
        times = 4 if before and pace > _ALL * before else 2
        count, before = min(times * count, most), pace
        start(count)
