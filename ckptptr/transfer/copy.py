"""Copy objects inside the store: no byte of them passes through this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ckptptr.stores.port import Store
from ckptptr.transfer.pool import run_all


class CancelledError(Exception):
    """The copy was cancelled."""


def copy_all(
    store: Store, pairs: Iterable[tuple[str, str]], *, is_cancelled: Callable[[], bool] = lambda: False
) -> None:
    """Copy `(source key, key)` pairs, several at a time.

    Raises:
        CancelledError: `is_cancelled` said so between two of them.
        NotFoundError: a source is gone.
        StoreUnavailableError: the store did not copy it.
    """

    def copy(pair: tuple[str, str]) -> None:
        if is_cancelled():
            raise CancelledError
        store.copy(*pair)

    run_all(copy, pairs)
