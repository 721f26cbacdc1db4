"""Many small pieces of work on a few threads: the first failure stops the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

WORKERS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_all(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int = WORKERS) -> list[Result]:
    """`[work(item) for item in items]`, in parallel; what has not begun when one fails never begins."""
    todo = list(items)
    if len(todo) <= 1:
        return [work(item) for item in todo]
    with ThreadPoolExecutor(min(workers, len(todo)), thread_name_prefix="ckptptr") as pool:
        futures = [pool.submit(work, item) for item in todo]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:  # also when this thread is interrupted: nobody waits for what has not begun
            pool.shutdown(cancel_futures=True)
        return [future.result() for future in futures if not future.cancelled()]
