"""A store around another: what retries, can be stopped or is fast says only what it does differently."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TypeVar

from ckptptr.stores.port import Block, Entry, Guarantee, Store, Token

_T = TypeVar("_T")


def unwrap(store: Store, kind: type[_T]) -> _T | None:
    """The first of that kind among a store and those inside it; None where there is none."""
    found: object = store
    while not isinstance(found, kind):
        if not isinstance(found, Around):
            return None
        found = found._store
    return found


class Around:
    """The same store; made to be derived from."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def guarantee(self) -> Guarantee:
        return self._store.guarantee

    @property
    def block_size(self) -> int:
        return self._store.block_size

    def url(self, key: str) -> str:
        return self._store.url(key)

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        return self._store.read(key, limit)

    def create(self, key: str, body: bytes) -> Token:
        return self._store.create(key, body)

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        return self._store.replace(key, body, token)

    def list(self, folder: str) -> Iterator[Entry]:
        return self._store.list(folder)

    def folders(self, folder: str) -> Sequence[str]:
        return self._store.folders(folder)

    def delete(self, keys: Iterable[str]) -> None:
        self._store.delete(keys)

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        return self._store.upload(key, blocks)

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        return self._store.download(key, start, length)

    def copy(self, source: str, key: str) -> None:
        self._store.copy(source, key)
