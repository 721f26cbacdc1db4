"""Background saves that the end of the process waits for, within a deadline."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from ckptptr.events import Event, emit
from ckptptr.lifetime.ending import ProcessEnd, abandon_executors
from ckptptr.lifetime.forks import renew_in_child
from ckptptr.settings import EXIT_DEADLINE


class AtExit(ABC):
    """Those of one kind, in one process.

    Args:
        node: URL of the node prefix, for the event of a save that the end of the process abandons.
        until: until when, by `time.monotonic()`, the end of the process may be put off, where it was told
            to end; None where it was not: then for `CKPTPTR_EXIT_DEADLINE` seconds.
    """

    def __init__(self, node: str, until: Callable[[], float | None]) -> None:
        self._node = node
        self._until = until
        self._exit_seconds = EXIT_DEADLINE.read()
        self._exit_at: float | None = None
        self._is_given_up = False
        self._ending = ProcessEnd(self._wait_at_exit)
        self.renew()
        renew_in_child(self)

    @abstractmethod
    def renew(self) -> None:
        """Begin with nothing: in a fork the saves are the parent's."""

    @abstractmethod
    def wait(self, until: float | None = None) -> bool:
        """Until nothing is under way or waits, or until `until` by `time.monotonic()`; whether that is so."""

    def _begins_at_exit(self) -> bool:
        """Whether a save that begins now must be made in its caller's thread; else the end waits for it."""
        self._ending.register()
        return self._ending.has_begun

    def _wait_at_exit(self) -> None:
        if self._is_given_up:
            return
        # Called twice; the deadline is that of the first call.
        self._exit_at = self._exit_at or self._until() or time.monotonic() + self._exit_seconds
        try:
            self._is_given_up = not self.wait(self._exit_at)
        except KeyboardInterrupt:
            self._is_given_up = True
        if self._is_given_up:
            what = "the process ends before its last background save is done"
            emit(Event("save", what, level=logging.WARNING, node=self._node, verdict="abandoned"))
            abandon_executors()
