"""Many small pieces of work on a few threads: the first failure stops the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from typing import TypeVar

from ckptptr.lifetime import daemon

WORKERS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_all(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int = WORKERS) -> list[Result]:
    """`[work(item) for item in items]`, in parallel; what has not begun when one fails never begins.

    Raises what the first of the items that failed has raised.
    """
    todo = list(items)
    if len(todo) <= 1:
        return [work(item) for item in todo]
    left = deque(range(len(todo)))  # the threads help themselves: a future for each item would cost more
    done: dict[int, Result] = {}
    failed: dict[int, BaseException] = {}

    def help_yourself() -> None:
        while True:
            try:
                number = left.popleft()
            except IndexError:
                return
            try:
                done[number] = work(todo[number])
            except BaseException as error:
                left.clear()
                failed[number] = error
                raise

    threads: list[Future[None]] = []
    try:
        while left and len(threads) < workers:
            threads.append(daemon.start(help_yourself))
        wait(threads, return_when=FIRST_EXCEPTION)
    finally:  # also when this thread is interrupted: nobody waits for what has not begun
        left.clear()
        wait(threads)
    if failed:
        raise failed[min(failed)]
    return [done[number] for number in range(len(todo))]
