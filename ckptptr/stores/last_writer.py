"""A store whose conditional writes cannot be trusted: read, check, write, read back.

Some S3 look-alikes accept `If-Match` and ignore it. Between check and write another writer may come,
and then the last one wins: what this catches is everything but that moment. The protocol knows
(`Guarantee.LAST_WRITER_WINS`) and lets a restore look at the homes as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ckptptr.errors import ConflictError, NotFoundError
from ckptptr.stores.port import Entry, Guarantee, Store, Token


class LastWriterWins:
    """A store around another, none of whose conditions is relied upon.

    `create` costs three requests instead of one, `replace` as well.
    """

    guarantee = Guarantee.LAST_WRITER_WINS

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def block_size(self) -> int:
        return self._store.block_size

    def url(self, key: str) -> str:
        return self._store.url(key)

    def read(self, key: str) -> tuple[bytes, Token]:
        return self._store.read(key)

    def create(self, key: str, body: bytes) -> Token:
        try:
            self._store.read(key)
        except NotFoundError:
            return self._write(key, body)
        raise ConflictError("the object exists already", key=self.url(key))

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        try:
            _, current = self._store.read(key)
        except NotFoundError as error:
            raise ConflictError("the object is gone", key=self.url(key)) from error
        if current != token:
            raise ConflictError("the object has another version", key=self.url(key))
        return self._write(key, body)

    def list(self, folder: str) -> Iterator[Entry]:
        return self._store.list(folder)

    def delete(self, keys: Iterable[str]) -> None:
        self._store.delete(keys)

    def upload(self, key: str, blocks: Iterable[bytes]) -> None:
        self._store.upload(key, blocks)

    def download(self, key: str, start: int, length: int) -> bytes:
        return self._store.download(key, start, length)

    def copy(self, source: str, key: str) -> None:
        self._store.copy(source, key)

    def _write(self, key: str, body: bytes) -> Token:
        """Unconditionally: a look-alike may also refuse conditions that it should accept."""
        self._store.upload(key, [body])
        found, token = self._store.read(key)
        if found != body:
            raise ConflictError("another writer came at the same moment", key=self.url(key))
        return token
