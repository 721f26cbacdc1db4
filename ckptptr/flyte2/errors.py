"""The errors after which Flyte 2 should not start another attempt.

Flyte 2 retries a task after every exception but its `NonRecoverableError`: the reverse of flytekit. So what
another attempt may cure leaves as it is. The others are both: `except ckptptr.NotFoundError` in a task still
catches them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flyte.errors import NonRecoverableError

from ckptptr.errors import (
    CkptptrError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    OtherWorkError,
    SettingError,
    UnidentifiedError,
)


class _FinalError(NonRecoverableError):  # type: ignore[misc]
    """Made as our errors are, with the attributes that Flyte reads."""

    def __init__(self, message: str, *, key: str = "", hint: str = "") -> None:
        CkptptrError.__init__(self, message, key=key, hint=hint)
        self.kind, self.worker = "user", None


class FinalInvalidArgumentError(_FinalError, InvalidArgumentError):
    """The call or the reference is wrong, and will be in the next attempt."""


class FinalSettingError(_FinalError, SettingError):
    """The next attempt has the same environment."""


class FinalUnidentifiedError(_FinalError, UnidentifiedError):
    """The next attempt has paths of the same layout."""


class FinalNotFoundError(_FinalError, NotFoundError):
    """What the task, or the seed, asks for by name is not there."""


class FinalDamagedError(_FinalError, DamagedError):
    """What the task asks for by name is damaged."""


class FinalOtherWorkError(_FinalError, OtherWorkError):
    """What the task asks for by name belongs to another node."""


# A subclass comes before its base class.
_FINAL: dict[type[CkptptrError], type[CkptptrError]] = {
    SettingError: FinalSettingError,
    UnidentifiedError: FinalUnidentifiedError,
    InvalidArgumentError: FinalInvalidArgumentError,
    NotFoundError: FinalNotFoundError,
    DamagedError: FinalDamagedError,
    OtherWorkError: FinalOtherWorkError,
}


@contextmanager
def final() -> Iterator[None]:
    """Raise a final error in place of one that no other attempt can cure."""
    try:
        yield
    except CkptptrError as error:
        for kind, replacement in _FINAL.items():
            if isinstance(error, kind) and not isinstance(error, NonRecoverableError):
                raise replacement(error.message, key=error.key, hint=error.hint) from error
        raise
