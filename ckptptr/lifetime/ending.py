"""The end of the process: what it waits for, and what it must not wait for.

`atexit` alone comes too late for our work. By then no executor takes any: ours, or that of an event loop that
looks up a host name. The interpreter's own executors use an earlier hook. Threads that are no daemons go on
after that hook, and may save once more: what comes then is done in their thread, and `atexit` waits for it.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from concurrent import futures
from contextlib import suppress
from typing import Any
from weakref import WeakMethod


class ProcessEnd:
    """One owner's part in the end of the process.

    Args:
        wait: a method of the owner: waits until the owner's work is done. Called twice. An owner that is gone
            leaves nothing: a process may have very many, one after the other.

    Attributes:
        has_begun: whether the process ends: no thread that is started now is waited for.
    """

    def __init__(self, wait: Callable[[], None]) -> None:
        self.has_begun = False
        self._wait = WeakMethod[Any](wait, self._forget)
        self._is_registered = False

    def register(self) -> None:
        """Have the process wait. Only the first call does something; a fork inherits it."""
        if self._is_registered:
            return
        self._is_registered = True
        try:
            before_executors_close(self._begin)
        except RuntimeError:
            self.has_begun = True
        atexit.register(self._begin)

    def _forget(self, _: object) -> None:
        if self.has_begun or not self._is_registered:
            return
        atexit.unregister(self._begin)
        hooks: list[Any] = getattr(threading, "_threading_atexits", [])
        for hook in [hook for hook in hooks if _calls(hook, self._begin)]:
            with suppress(ValueError):
                hooks.remove(hook)

    def _begin(self) -> None:
        self.has_begun = True
        wait = self._wait()
        if wait is not None:
            wait()


def _calls(hook: Any, act: Callable[[], None]) -> bool:
    """Whether it is what `threading` made of `act`: a partial; from Python 3.13 on a function around it."""
    cells = getattr(hook, "__closure__", None) or ()
    return act in (getattr(hook, "func", None), *(cell.cell_contents for cell in cells))


def before_executors_close(act: Callable[[], None]) -> None:
    """Do something at the end of the process, while threads can still be started. The last one registered
    is called first.

    Raises:
        RuntimeError: that moment has passed.
    """
    register: Callable[[Callable[[], None]], object] = getattr(threading, "_register_atexit", atexit.register)
    register(act)


def abandon_executors() -> None:
    """Let the interpreter exit while threads of executors hang in a request.

    It joins the threads of every `ThreadPoolExecutor`, daemons included. Threads that a daemon started are
    daemons: so are those of all work here, and of the event loops that fsspec runs.
    """
    joined = getattr(futures.thread, "_threads_queues", {})
    for thread in [thread for thread in joined if thread.daemon]:
        del joined[thread]
