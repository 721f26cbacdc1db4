"""A store whose conditional writes cannot be trusted: read, check, write, read back.

Some S3 look-alikes accept `If-Match` and ignore it. Between check and write another writer may come,
and then the last one wins: what this catches is everything but that moment. The protocol knows
(`Guarantee.LAST_WRITER_WINS`) and lets a restore look at the homes as well.
"""

from __future__ import annotations

from ckptptr.errors import ConflictError, NotFoundError
from ckptptr.stores.port import GLANCE, Guarantee, Token
from ckptptr.stores.wrappers.around import Around

_DELETED = Token("deleted")
"""Of a version that another process has deleted at once. No store has such a token: a `replace` conflicts."""


class LastWriterWins(Around):
    """A store around another, none of whose conditions is relied upon.

    `create` costs three requests instead of one, `replace` as well.
    """

    guarantee = Guarantee.LAST_WRITER_WINS

    def create(self, key: str, body: bytes) -> Token:
        try:
            self._store.read(key, GLANCE)
        except NotFoundError:
            return self._write(key, body)
        raise ConflictError("the object exists already", key=self.url(key))

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        try:
            _, current = self._store.read(key, GLANCE)
        except NotFoundError as error:
            raise ConflictError("the object is gone", key=self.url(key)) from error
        if current != token:
            raise ConflictError("the object has another version", key=self.url(key))
        return self._write(key, body)

    def _write(self, key: str, body: bytes) -> Token:
        """Unconditionally: a look-alike may also refuse conditions that it should accept."""
        self._store.upload(key, [body])
        try:
            found, token = self._store.read(key, len(body) + 1)
        except NotFoundError:
            return _DELETED  # it was written: with real conditions `create` would not see this either
        if found != body:
            raise ConflictError("another writer came at the same moment", key=self.url(key))
        return token
