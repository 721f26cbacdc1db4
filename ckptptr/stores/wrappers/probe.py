"""Does this server support conditional writes? A probe tests it.

The adapters know the real clouds. Of a custom endpoint nothing is known: some accept `If-Match` and ignore
it, some want it unquoted and refuse all others, some take no condition at all. A few tiny requests on a new
object find that out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping

from ckptptr.clock import Clock
from ckptptr.errors import ConflictError, NotFoundError, StoreUnavailableError
from ckptptr.settings import GUARANTEE
from ckptptr.stores.port import GLANCE, Guarantee, Store, Token, UnsupportedError
from ckptptr.stores.wrappers.last_writer import LastWriterWins

log = logging.getLogger("ckptptr")


def with_known_guarantee(
    store: Store, folder: str, clock: Clock, environ: Mapping[str, str] = os.environ
) -> Store:
    """The store, with a guarantee that is known: tested, assumed, or declared.

    Args:
        folder: where the probe may put an object of its own, for a moment.
        environ: `CKPTPTR_GUARANTEE` says which guarantee to assume, so that nothing is probed.

    Raises:
        InvalidArgumentError: the setting names no guarantee.
        StoreUnavailableError: the server did not answer, or takes no write at all.
    """
    guarantee = assumed(environ)
    if guarantee is None and store.guarantee is not Guarantee.UNPROVEN:
        return store
    guarantee = guarantee or probe(store, f"{folder}/.probe-{clock.token(12)}")
    if guarantee is Guarantee.COMPARE_AND_SWAP:
        return store
    log.warning(
        "%s does not support conditional writes: the last writer wins there, and a restore "
        "looks at all attempts (see PROTOCOL.md, section 3)",
        store.url(folder),
    )
    return LastWriterWins(store)


def assumed(environ: Mapping[str, str] = os.environ) -> Guarantee | None:
    """What `CKPTPTR_GUARANTEE` says to assume; None where it is not set.

    Raises:
        InvalidArgumentError: it names no guarantee.
    """
    name = GUARANTEE.read(environ)
    return Guarantee(name) if name else None


def probe(store: Store, key: str) -> Guarantee:
    """What conditional writes are worth there: four requests, and a fifth to tidy up."""
    try:
        honest = _is_honest(store, key)
    except UnsupportedError:
        store.upload(key, [b"5"])  # if it takes this one, the condition was the reason
        honest = False
    try:
        store.delete([key])
    except StoreUnavailableError as error:
        log.warning("the object of the probe could not be deleted: %s: %s", store.url(key), error)
    return Guarantee.COMPARE_AND_SWAP if honest else Guarantee.LAST_WRITER_WINS


def _is_honest(store: Store, key: str) -> bool:
    first = _wrote(store, key, b"1", lambda: store.create(key, b"1"))
    return (
        first is not None
        and _refuses(lambda: store.create(key, b"2"))
        and _wrote(store, key, b"3", lambda: store.replace(key, b"3", first)) is not None
        and _refuses(lambda: store.replace(key, b"4", first))
    )


def _sent(write: Callable[[], Token]) -> Token:
    """The token of a write. Something in between may say once that the server takes no such request."""
    try:
        return write()
    except UnsupportedError:
        return write()


def _wrote(store: Store, key: str, body: bytes, write: Callable[[], Token]) -> Token | None:
    """The token of a write that nothing speaks against; None where the server refuses it."""
    try:
        return _sent(write)
    except ConflictError:
        pass
    try:
        found, token = store.read(key, GLANCE)
    except NotFoundError:
        return None
    return token if found == body else None  # the reply was lost, and the client's own retry met it


def _refuses(write: Callable[[], Token]) -> bool:
    try:
        _sent(write)
    except ConflictError:
        return True
    return False
