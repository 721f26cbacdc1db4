"""Many small pieces of work on a few threads: the first failure stops the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from itertools import chain, islice
from typing import TypeVar

from ckptptr.lifetime import daemon

WORKERS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_all(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int = WORKERS) -> list[Result]:
    """`[work(item) for item in items]`, in parallel; what has not begun when one fails never begins.

    `items` are asked for as they are needed: there may be very many.

    Raises what the first of the items that failed has raised.
    """
    todo = iter(items)
    first = [*islice(todo, max(workers, 2))]
    if len(first) <= 1:
        return [work(item) for item in first]
    left = enumerate(
        chain(first, todo)
    )  # the threads help themselves: a future for each item would cost more
    lock, is_over = threading.Lock(), threading.Event()
    done: dict[int, Result] = {}
    failed: dict[int, BaseException] = {}

    def help_yourself() -> None:
        while not is_over.is_set():
            with lock:
                following = next(left, None)
            if following is None:
                break
            number, item = following
            try:
                done[number] = work(item)
            except BaseException as error:
                is_over.set()
                failed[number] = error
                raise
        is_over.set()

    threads: list[Future[None]] = []
    try:
        while not is_over.is_set() and len(threads) < min(workers, len(first)):
            threads.append(daemon.start(help_yourself))
        wait(threads, return_when=FIRST_EXCEPTION)
    finally:  # also when this thread is interrupted: what has not begun is not waited for
        is_over.set()
        wait(threads)
    if failed:
        raise failed[min(failed)]
    for thread in threads:
        thread.result()  # raises what `items` raised
    return [done[number] for number in range(len(done))]
