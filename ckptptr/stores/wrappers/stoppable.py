"""A store that can be stopped: from then on no request leaves this process through it. It counts them, too.

A thread cannot be ended from outside. An abandoned save must never commit or publish afterwards, so its next
request is refused, at any step.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Generator, Iterable, Iterator

from ckptptr.errors import PreemptedError
from ckptptr.events import count_request
from ckptptr.stores.port import Block, Entry, Store, Token
from ckptptr.stores.wrappers.around import Around


class Stoppable(Around):
    """The same store, until `stop`. After it every request raises `PreemptedError`."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._is_stopped = False
        self._writing: set[str] = set()

    def stop(self) -> frozenset[str]:
        """Refuse all requests from now on.

        Returns:
            The keys of conditional writes that are under way: those may still land.
        """
        self._is_stopped = True
        return frozenset(self._writing)

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        return self._request().read(key, limit)

    def create(self, key: str, body: bytes) -> Token:
        return self._write(key, body, None)

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        return self._write(key, body, token)

    def list(self, folder: str) -> Iterator[Entry]:
        return self._request().list(folder)

    def delete(self, keys: Iterable[str]) -> None:
        self._request().delete(keys)

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        return self._request().upload(key, _UntilStopped(blocks, self._running))

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        for block in self._request().download(key, start, length):
            yield block
            self._running()

    def copy(self, source: str, key: str) -> None:
        self._request().copy(source, key)

    def _request(self) -> Store:
        """The store, to send one request to."""
        store = self._running()
        count_request()
        return store

    def _running(self) -> Store:
        """The store, if requests may be sent."""
        if self._is_stopped:
            raise PreemptedError("this process is being preempted and sends no more requests")
        return self._store

    def _write(self, key: str, body: bytes, token: Token | None) -> Token:
        self._writing.add(key)  # before the look, so that no write goes unnoticed by `stop`
        try:
            store = self._request()
            return store.create(key, body) if token is None else store.replace(key, body, token)
        finally:
            self._writing.discard(key)


class _UntilStopped:
    """Blocks to upload, as many as there were said to be, unless the store is stopped meanwhile."""

    def __init__(self, blocks: Iterable[bytes], check: Callable[[], object]) -> None:
        self._blocks = blocks
        self._check = check

    def __length_hint__(self) -> int:
        hint = operator.length_hint(self._blocks, -1)
        return NotImplemented if hint < 0 else hint

    def __iter__(self) -> Iterator[bytes]:
        for block in self._blocks:
            self._check()
            yield block
        self._check()  # an upload whose last block was handed out is not finished either
