"""Trying again what may be tried again.

Only requests that change nothing, or that change the same thing however often they run, are repeated: read,
list, delete, download, copy. A failed `create`, `replace` or `upload` may have landed; the protocol decides
what follows from that, so they are sent once.

The budget has two layers. A cloud's adapter, or the SDK below it, tries each single request five times,
with pauses of at most 15 s in all on S3 (as botocore is set by default), 8 s on Google Cloud Storage (20 s
where it asks for longer ones) and 6 s on Azure. Around that a call is tried up to five times here, and no
try begins later than two minutes after the first. So a storm of 503s or 429s is over in at most 80, 45 (105)
and 35 s. A server that takes requests and never answers costs two minutes and one call more, whose
timeout is the filesystem's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from ckptptr.clock import Clock, backoff
from ckptptr.errors import AccessDeniedError, StoreUnavailableError
from ckptptr.events import Event, emit
from ckptptr.stores.port import Block, Entry, Store, Token
from ckptptr.stores.wrappers.around import Around

_T = TypeVar("_T")


class Retrying(Around):
    """The same store, patient: `StoreUnavailableError` only after `tries` of them, with backoff in between.

    No try begins more than `at_most` seconds after the first, by `timer`.
    A missing permission (`AccessDeniedError`) is raised at once: waiting does not grant it. `list`
    is read to its end before the first entry is handed out, so that a try is always a whole one.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        tries: int = 5,
        at_most: float = 120.0,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(store)
        self._clock = clock
        self._tries = tries
        self._at_most = at_most
        self._timer = timer

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        return self._patiently("read", lambda: self._store.read(key, limit))

    def list(self, folder: str) -> Iterator[Entry]:
        return iter(self._patiently("list", lambda: [*self._store.list(folder)]))

    def delete(self, keys: Iterable[str]) -> None:
        every = [*keys]
        self._patiently("delete", lambda: self._store.delete(every))

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        patience = self._patience("download")
        while True:
            try:
                for block in self._store.download(key, start, length):
                    start += len(block)
                    length -= len(block)
                    yield block
                return
            except StoreUnavailableError as error:
                patience.spend(error)

    def copy(self, source: str, key: str) -> None:
        self._patiently("copy", lambda: self._store.copy(source, key))

    def _patiently(self, operation: str, attempt: Callable[[], _T]) -> _T:
        patience = self._patience(operation)
        while True:
            try:
                return attempt()
            except StoreUnavailableError as error:
                patience.spend(error)

    def _patience(self, operation: str) -> _Patience:
        return _Patience(operation, self._tries, self._timer() + self._at_most, self._timer, self._clock)


@dataclass(slots=True)
class _Patience:
    """That of one call."""

    operation: str
    tries: int
    end: float
    timer: Callable[[], float]
    clock: Clock
    tried: int = 0

    def spend(self, error: StoreUnavailableError) -> None:
        """Wait before the next try. Raises the error where there is none."""
        self.tried += 1
        if isinstance(error, AccessDeniedError) or self.tried == self.tries or self.timer() > self.end:
            raise error
        message = f"{self.operation} failed, try {self.tried} of {self.tries}: {error}"
        emit(Event("retry", message, level=logging.WARNING, error=error.code))
        backoff(self.clock, self.tried)
