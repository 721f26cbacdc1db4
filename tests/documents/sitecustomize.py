"""Loaded by every Python that a document starts: a bucket is a folder below `$BUCKETS`.

Only where bytes go is replaced. URLs, references, and all that is printed are those of the cloud.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from ckptptr.stores import open as opening
from ckptptr.stores.local.store import LocalStore
from ckptptr.stores.port import Block, Entry, Guarantee, Token


class Buckets:
    """A cloud's store, on this disk."""

    guarantee = Guarantee.COMPARE_AND_SWAP
    block_size = LocalStore.block_size

    def __init__(self, scheme: str) -> None:
        self._scheme, self._disk = scheme, LocalStore()

    def _at(self, key: str) -> str:
        return f"{os.environ['BUCKETS']}/{self._scheme}/{key}"

    def url(self, key: str) -> str:
        return f"{self._scheme}://{key}"

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        return self._disk.read(self._at(key), limit)

    def create(self, key: str, body: bytes) -> Token:
        return self._disk.create(self._at(key), body)

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        return self._disk.replace(self._at(key), body, token)

    def list(self, folder: str) -> Iterator[Entry]:
        for entry in self._disk.list(self._at(folder)):
            yield Entry(entry.key[len(self._at("")) :], entry.size, entry.modified)

    stream = list

    def delete(self, keys: Iterable[str]) -> None:
        self._disk.delete(map(self._at, keys))

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        return self._disk.upload(self._at(key), blocks)

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        return self._disk.download(self._at(key), start, length)

    def copy(self, source: str, key: str) -> None:
        self._disk.copy(self._at(source), self._at(key))


def _on_cloud(place: Any, *_: Any) -> Buckets:
    return Buckets(place.scheme)


opening._on_cloud = _on_cloud  # type: ignore[assignment]
