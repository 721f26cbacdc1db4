"""Processes that take turns: one request of one of them at a time, as a random number says.

Each piece of work runs in a thread of its own, which waits before every request to the store until it
is told to go on. So all interleavings at the granularity of requests are possible, and the same seed
always gives the same one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ckptptr.nodes import plain
from ckptptr.session import parts
from ckptptr.testing.faults import Killed
from ckptptr.transfer import copy, download, upload
from tests.helpers import Interleaved


@contextmanager
def one_after_the_other() -> Iterator[None]:
    """Inside, what a process would send at once it sends one by one: the order of requests is part of a
    history. It is silent too: a thousand lives have a lot to say, mostly about faults that were ordered."""
    modules: tuple[Any, ...] = (copy, download, upload, parts, plain)
    at_once = [module.run_all for module in modules]
    for module in modules:
        module.run_all = _one_by_one
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for module, run_all in zip(modules, at_once, strict=True):
            module.run_all = run_all


def _one_by_one(work: Callable[[Any], Any], items: Iterable[Any], **_: Any) -> list[Any]:
    return [work(item) for item in items]


class Turn:
    """A piece of work that is advanced request by request."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.is_over = False
        self.error: BaseException | None = None
        self._work = work
        self._is_killed = False
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def advance(self) -> None:
        """Let it run up to its next request, or to its end."""
        self._go.release()
        self._stopped.acquire()
        if self.is_over:
            self._thread.join()

    def finish(self) -> None:
        while not self.is_over:
            self.advance()

    def kill(self) -> None:
        """Let it die where it is, before its next request."""
        self._is_killed = True
        self.finish()

    def wait(self) -> None:
        """Called by the work itself, before a request."""
        self._stopped.release()
        self._go.acquire()
        if self._is_killed:
            raise Killed

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._is_killed:
                self._work()
        except Killed:
            self._is_killed = True
        except BaseException as error:  # noqa: BLE001 - told to whoever looks at the turn
            self.error = error
        self.is_over = True
        self._stopped.release()


class Paced(Interleaved):
    """A store whose requests wait for their turn."""

    turn: Turn | None = None

    def _let_act(self, when: str, *_: str) -> None:
        if when == "before" and self.turn is not None:
            self.turn.wait()
