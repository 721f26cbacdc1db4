"""Objects in a dictionary: the store that tests and examples run on.

The plainest reading of the port. What the other adapters do over a network or a disk is compared
with this one.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence

from ckptptr.errors import ConflictError, DamagedError, NotFoundError
from ckptptr.lifetime.forks import renew_in_child
from ckptptr.stores.port import Block, Entry, Guarantee, Token, folders_of


class MemoryStore:
    """A store that lives and dies with the process.

    Args:
        guarantee: with `LAST_WRITER_WINS`, `replace` ignores the token, as the S3
            look-alikes do that accept `If-Match` and ignore it.
        block_size: kept small by tests that want many blocks out of few bytes.
    """

    def __init__(
        self, guarantee: Guarantee = Guarantee.COMPARE_AND_SWAP, *, block_size: int = 1024 * 1024
    ) -> None:
        self.guarantee = guarantee
        self.block_size = block_size
        self.renew()
        renew_in_child(self)
        self._objects: dict[str, tuple[bytes, Token, float]] = {}
        self._versions = itertools.count(1)

    def renew(self) -> None:
        """In a fork: a thread of the parent may hold the lock."""
        self._lock = threading.Lock()

    def url(self, key: str) -> str:
        return f"memory://{key}"

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        with self._lock:
            body, token, _ = self._get(key)
        return body[:limit], token

    def create(self, key: str, body: bytes) -> Token:
        with self._lock:
            if key in self._objects:
                raise ConflictError("the object exists already", key=self.url(key))
            return self._put(key, body)

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        with self._lock:
            if self.guarantee is not Guarantee.LAST_WRITER_WINS:
                current = self._objects.get(key)
                if current is None or current[1] != token:
                    raise ConflictError("the object has another version or is gone", key=self.url(key))
            return self._put(key, body)

    def list(self, folder: str) -> Iterator[Entry]:
        with self._lock:
            found = [
                Entry(key, len(body), modified)
                for key, (body, _, modified) in self._objects.items()
                if key.startswith(f"{folder}/")
            ]
        return iter(sorted(found, key=lambda entry: entry.key))

    stream = list

    def folders(self, folder: str) -> Sequence[str]:
        return folders_of(self.list(folder), folder)

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            with self._lock:
                self._objects.pop(key, None)

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        body = b"".join(blocks)
        with self._lock:
            self._put(key, body)
        return True

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        if length == 0:
            return
        with self._lock:
            body, *_ = self._get(key)
        if len(body) < start + length:
            raise DamagedError(
                f"the object has {len(body)} bytes, {start + length} were asked for", key=self.url(key)
            )
        yield body[start : start + length]

    def copy(self, source: str, key: str) -> None:
        with self._lock:
            body, *_ = self._get(source)
            self._put(key, body)

    def _get(self, key: str) -> tuple[bytes, Token, float]:
        try:
            return self._objects[key]
        except KeyError:
            raise NotFoundError("there is no such object", key=self.url(key)) from None

    def _put(self, key: str, body: bytes) -> Token:
        token = Token(str(next(self._versions)))
        self._objects[key] = (bytes(body), token, time.time())
        return token
