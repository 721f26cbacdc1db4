"""The errors after which Flyte should start another attempt.

Flyte retries a task whose exception is flytekit's `FlyteRecoverableException`, and no other. These
are both: `except ckptptr.StoreUnavailableError` in a task still catches them.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

from flytekit.exceptions.user import FlyteRecoverableException

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    ConflictError,
    IncompleteError,
    LocalDiskError,
    LocalMachineError,
    OutcomeUnknownError,
    PreemptedError,
    StoreUnavailableError,
    SupersededError,
    UnsupportedFormatError,
)

_T = TypeVar("_T")


class RecoverableStoreUnavailableError(StoreUnavailableError, FlyteRecoverableException):  # type: ignore[misc]
    """The store did not answer; it may answer the next attempt."""


class RecoverableAccessDeniedError(AccessDeniedError, FlyteRecoverableException):  # type: ignore[misc]
    """The store refused us; permissions and credentials may be corrected meanwhile."""


class RecoverableOutcomeUnknownError(OutcomeUnknownError, FlyteRecoverableException):  # type: ignore[misc]
    """It is unknown whether the write succeeded; the next attempt reads LATEST."""


class RecoverableIncompleteError(IncompleteError, FlyteRecoverableException):  # type: ignore[misc]
    """Another attempt may have all ranks."""


class RecoverableConflictError(ConflictError, FlyteRecoverableException):  # type: ignore[misc]
    """Others kept moving LATEST."""


class RecoverableSupersededError(SupersededError, FlyteRecoverableException):  # type: ignore[misc]
    """A newer attempt has taken over: this pod ends, and that one continues."""


class RecoverableLocalMachineError(LocalMachineError, FlyteRecoverableException):  # type: ignore[misc]
    """This machine has run out of something: the next attempt may run on another one."""


class RecoverableLocalDiskError(LocalDiskError, FlyteRecoverableException):  # type: ignore[misc]
    """The disk of this machine: the next attempt may run on another one."""


class RecoverableUnsupportedFormatError(UnsupportedFormatError, FlyteRecoverableException):  # type: ignore[misc]
    """A newer ckptptr wrote it: the next attempt may run it in a newer image."""


class RecoverablePreemptedError(PreemptedError, FlyteRecoverableException):  # type: ignore[misc]
    """The machine is taken away: the next attempt continues on another one."""


# A subclass comes before its base class.
_RECOVERABLE: dict[type[CkptptrError], type[CkptptrError]] = {
    AccessDeniedError: RecoverableAccessDeniedError,
    StoreUnavailableError: RecoverableStoreUnavailableError,
    OutcomeUnknownError: RecoverableOutcomeUnknownError,
    IncompleteError: RecoverableIncompleteError,
    ConflictError: RecoverableConflictError,
    SupersededError: RecoverableSupersededError,
    LocalDiskError: RecoverableLocalDiskError,
    LocalMachineError: RecoverableLocalMachineError,
    UnsupportedFormatError: RecoverableUnsupportedFormatError,
    PreemptedError: RecoverablePreemptedError,
}


def recoverably(done: Future[_T]) -> Future[_T]:
    """The same future, whose error is recoverable if another attempt may help."""
    told: Future[_T] = Future()
    told.set_running_or_notify_cancel()

    def tell(_: Future[_T]) -> None:
        try:
            with recoverable():
                told.set_result(done.result())
        except BaseException as error:  # noqa: BLE001 - passed on
            told.set_exception(error)

    done.add_done_callback(tell)
    return told


@contextmanager
def recoverable() -> Iterator[None]:
    """Raise a recoverable error in place of one that another attempt may cure."""
    try:
        yield
    except CkptptrError as error:
        for kind, replacement in _RECOVERABLE.items():
            if isinstance(error, kind) and not isinstance(error, FlyteRecoverableException):
                raise replacement(error.message, key=error.key, hint=error.hint) from error
        raise
