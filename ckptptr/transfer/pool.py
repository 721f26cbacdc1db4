"""Many small pieces of work on a few threads: the first failure stops the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

WORKERS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_all(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int = WORKERS) -> list[Result]:
    """`[work(item) for item in items]`, in parallel; what has not begun when one fails never begins."""
    todo = list(items)
    if len(todo) <= 1:
        return [work(item) for item in todo]
    failed = threading.Event()

    def attempt(item: Item) -> Result:
        if failed.is_set():
            raise _NeverBegunError
        try:
            return work(item)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(min(workers, len(todo)), thread_name_prefix="ckptptr") as pool:
        futures = [pool.submit(attempt, item) for item in todo]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:  # also when this thread is interrupted: nobody waits for what has not begun
            failed.set()
            pool.shutdown(cancel_futures=True)
    begun = [future for future in futures if not _never_began(future)]
    return [future.result() for future in begun]


class _NeverBegunError(Exception):
    """Another item had failed by then."""


def _never_began(future: Future[Result]) -> bool:
    return future.cancelled() or isinstance(future.exception(), _NeverBegunError)
