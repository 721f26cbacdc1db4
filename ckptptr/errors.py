"""One tree of errors, grouped by what the handler does about them.

    CkptptrError
    ├── InvalidArgumentError        mend the call, the reference or the setting; nothing was changed
    │   └── UnidentifiedError       in Flyte, but which node this is cannot be told: use stock checkpoints
    ├── LocalDiskError              mend this machine's disk (full, read-only, not ours to write)
    ├── NotFoundError               proven absent: the store said so
    ├── DamagedError                there, but not what was written: use another checkpoint
    ├── OtherWorkError              of another node or task (hashes collide): use another checkpoint
    ├── UnsupportedFormatError      written by a newer ckptptr: upgrade
    ├── ConflictError               the object is not what the caller last saw: read it and decide again
    ├── SupersededError             a newer attempt owns this node: stop
    ├── PreemptedError              this process was told to end: let it, and what is confirmed is found
    ├── OutcomeUnknownError         the write may have landed: read before going on
    └── StoreUnavailableError       try again later; says nothing about what exists
        └── AccessDeniedError       mend the permission that the message names

Every error has a stable `code`, says what happened, to which object (`key`) and what to do next
(`hint`), and survives pickling.
"""

from __future__ import annotations

from typing import ClassVar


class CkptptrError(Exception):
    """Base of everything that ckptptr raises on purpose.

    Args:
        message: what happened, without a full stop.
        key: the object it happened to, as a person can find it (usually a URL).
        hint: what to do next, one sentence.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, key: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.key = key
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.message}: {self.key}" if self.key else self.message
        return f"{text}. {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.key, self.hint)


def _rebuild(cls: type[CkptptrError], message: str, key: str, hint: str) -> CkptptrError:
    return cls(message, key=key, hint=hint)


class InvalidArgumentError(CkptptrError, ValueError):
    """What was asked for cannot be done as asked. Nothing was changed."""

    code = "invalid-argument"


class UnidentifiedError(InvalidArgumentError):
    """A Flyte execution, but which of its nodes this is cannot be told."""

    code = "unidentified"


class LocalDiskError(CkptptrError):
    """This machine's disk refused a file of a save or a restore: full, read-only, or not ours to write."""

    code = "local-disk"


class NotFoundError(CkptptrError, LookupError):
    """The store answered that the object does not exist. Never raised for a failed request."""

    code = "not-found"


class DamagedError(CkptptrError):
    """The object is there, but it is not what was written, or it is not something we can read."""

    code = "damaged"


class OtherWorkError(CkptptrError):
    """A checkpoint that belongs to another node or task: Flyte's 32-bit node hash does collide."""

    code = "other-work"


class UnsupportedFormatError(CkptptrError):
    """Written by a newer major version of ckptptr. Never skipped, never overwritten."""

    code = "unsupported-format"


class ConflictError(CkptptrError):
    """A conditional write was refused: the object is not what the caller last saw."""

    code = "conflict"


class SupersededError(CkptptrError):
    """A newer attempt has published or adopted here. This one must stop saving."""

    code = "superseded"


class PreemptedError(CkptptrError):
    """This process was told to end (SIGTERM), and its last save is over, one way or the other."""

    code = "preempted"


class OutcomeUnknownError(CkptptrError):
    """A write was sent and its outcome could not be learnt within the retry budget."""

    code = "outcome-unknown"


class StoreUnavailableError(CkptptrError):
    """The store did not answer, or answered with a failure of its own. Proves nothing about what exists."""

    code = "store-unavailable"


class AccessDeniedError(StoreUnavailableError):
    """The store refused us. S3 also answers so for a missing key when ListBucket is not granted."""

    code = "access-denied"
