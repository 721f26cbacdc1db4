"""Trying again what may be tried again: a store around a store.

Only requests that change nothing, or that change the same thing however often they run, are
repeated: read, list, delete, download, copy. A failed `create`, `replace` or `upload` may have
landed; what to make of that is decided by the protocol, so they pass straight through.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ckptptr.clock import Clock, backoff
from ckptptr.errors import AccessDeniedError, StoreUnavailableError
from ckptptr.stores.port import Entry, Guarantee, Store, Token

_log = logging.getLogger("ckptptr.stores")
_T = TypeVar("_T")


class Retrying:
    """The same store, patient: `StoreUnavailableError` only after `tries` of them, with backoff in between.

    A missing permission (`AccessDeniedError`) is raised at once: waiting does not grant it. `list`
    is read to its end before the first entry is handed out, so that a try is always a whole one.
    """

    def __init__(self, store: Store, clock: Clock, *, tries: int = 5) -> None:
        self._store = store
        self._clock = clock
        self._tries = tries

    @property
    def guarantee(self) -> Guarantee:
        return self._store.guarantee

    @property
    def block_size(self) -> int:
        return self._store.block_size

    def url(self, key: str) -> str:
        return self._store.url(key)

    def read(self, key: str) -> tuple[bytes, Token]:
        return self._patiently("read", lambda: self._store.read(key))

    def create(self, key: str, body: bytes) -> Token:
        return self._store.create(key, body)

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        return self._store.replace(key, body, token)

    def list(self, folder: str) -> Iterator[Entry]:
        return iter(self._patiently("list", lambda: [*self._store.list(folder)]))

    def delete(self, keys: Iterable[str]) -> None:
        doomed = [*keys]
        self._patiently("delete", lambda: self._store.delete(doomed))

    def upload(self, key: str, blocks: Iterable[bytes]) -> None:
        self._store.upload(key, blocks)

    def download(self, key: str, start: int, length: int) -> bytes:
        return self._patiently("download", lambda: self._store.download(key, start, length))

    def copy(self, source: str, key: str) -> None:
        self._patiently("copy", lambda: self._store.copy(source, key))

    def _patiently(self, operation: str, attempt: Callable[[], _T]) -> _T:
        for tried in range(1, self._tries):
            try:
                return attempt()
            except AccessDeniedError:
                raise
            except StoreUnavailableError as error:
                _log.warning("%s failed, try %d of %d: %s", operation, tried, self._tries, error)
                backoff(self._clock, tried)
        return attempt()
