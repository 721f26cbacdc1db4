"""An object that is created once and never changed: the first writer wins, and a lost reply is read back."""

from __future__ import annotations

import logging

from ckptptr.clock import Clock, backoff
from ckptptr.errors import AccessDeniedError, ConflictError, NotFoundError, StoreUnavailableError
from ckptptr.events import Event, emit
from ckptptr.stores.port import Store

CREATE_TRIES = 10


def create_once(store: Store, clock: Clock, key: str, body: bytes, *, limit: int | None = None) -> bytes:
    """Create an object, or read the one that stands there; its bytes.

    Args:
        limit: how much of another one is read; by default enough to see that it is another.

    Raises:
        StoreUnavailableError: it could not be put, or it is unknown whether it was.
    """
    for tried in range(1, CREATE_TRIES + 1):
        try:
            store.create(key, body)
            return body
        except AccessDeniedError:
            raise
        except (ConflictError, StoreUnavailableError) as problem:
            last = problem
        try:
            return store.read(key, limit or len(body) + 1)[0]
        except NotFoundError:
            message = f"it was not put, try {tried} of {CREATE_TRIES}: {last}"
            emit(Event("retry", message, level=logging.WARNING, error=last.code))
            backoff(clock, tried)
    raise StoreUnavailableError(
        f"the object could not be put in {CREATE_TRIES} tries ({last})",
        key=store.url(key),
        hint="The checkpoint is not committed; LATEST is unchanged",
    )
