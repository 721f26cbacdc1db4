"""One tree of errors, grouped by what the handler does next.

    CkptptrError
    ├── InvalidArgumentError        correct the call, the reference or the setting; nothing was changed
    │   ├── SettingError            correct the environment variable that the message names
    │   └── UnidentifiedError       in Flyte, but the node is unknown: use stock checkpoints
    ├── LocalMachineError           this machine starts no more threads: relieve it, or use another one
    │   └── LocalDiskError          repair this machine's disk (full, read-only, no permission)
    ├── NotFoundError               absent: the store confirmed it
    ├── DamagedError                there, but not what was written: use another checkpoint
    ├── OtherWorkError              of another node or task (hashes collide): use another checkpoint
    ├── UnsupportedFormatError      written by a newer ckptptr: upgrade
    ├── ConflictError               the object is not what the caller last saw: read it and decide again
    ├── SupersededError             a newer attempt owns this node: stop
    ├── PreemptedError              this process got SIGTERM: let it end; confirmed checkpoints are found
    ├── IncompleteError             other ranks have not saved their parts: see why, then save again
    ├── OutcomeUnknownError         it is unknown whether the write succeeded: read first
    └── StoreUnavailableError       try again later; it is unknown what exists
        └── AccessDeniedError       grant the permission that the message names

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
        """Without control characters: names and notes come from buckets, and must not forge a line of a log.
        A hint of ours may have several lines."""
        head = f"{self.message}: {self.key}" if self.key else self.message
        if head.isprintable() and self.hint.isprintable():
            return f"{head}. {self.hint}" if self.hint else head
        from ckptptr.wording import printable  # to import the errors costs no other module

        hint = "\n".join(map(printable, self.hint.split("\n")))
        return f"{printable(head)}. {hint}" if hint else printable(head)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.key, self.hint)


def _rebuild(cls: type[CkptptrError], message: str, key: str, hint: str) -> CkptptrError:
    return cls(message, key=key, hint=hint)


class InvalidArgumentError(CkptptrError, ValueError):
    """The call, the reference or the setting is wrong. Nothing was changed."""

    code = "invalid-argument"


class SettingError(InvalidArgumentError):
    """An environment variable has a value that cannot be understood. It is never ignored."""

    code = "invalid-setting"


class UnidentifiedError(InvalidArgumentError):
    """This process runs in a Flyte execution, but its node is unknown."""

    code = "unidentified"


class LocalMachineError(CkptptrError):
    """This machine has run out of something that a save or a restore needs, threads for example."""

    code = "local-machine"


class LocalDiskError(LocalMachineError):
    """This machine's disk refused a file of a save or a restore: full, read-only, or no permission."""

    code = "local-disk"


class NotFoundError(CkptptrError, LookupError):
    """The store answered that the object does not exist. Never raised for a failed request."""

    code = "not-found"


class DamagedError(CkptptrError):
    """The object is there, but it is not what was written, or it cannot be read."""

    code = "damaged"


class OtherWorkError(CkptptrError):
    """A checkpoint that belongs to another node or task: Flyte's 32-bit node hashes can collide."""

    code = "other-work"


class UnsupportedFormatError(CkptptrError):
    """Written by a newer major version of ckptptr. Never skipped, never overwritten."""

    code = "unsupported-format"


class ConflictError(CkptptrError):
    """A conditional write was refused: the object is not what the caller last saw."""

    code = "conflict"


class SupersededError(CkptptrError):
    """A newer attempt has published or adopted. This attempt must stop saving."""

    code = "superseded"


class PreemptedError(CkptptrError):
    """This process got SIGTERM, and its last save has succeeded or failed."""

    code = "preempted"


class IncompleteError(CkptptrError):
    """Not all ranks have saved their parts of a checkpoint in time. Earlier checkpoints are as they were."""

    code = "incomplete"


class OutcomeUnknownError(CkptptrError):
    """A write was sent. The retries did not show whether it succeeded."""

    code = "outcome-unknown"


class StoreUnavailableError(CkptptrError):
    """The store did not answer, or answered with its own failure. What exists is unknown."""

    code = "store-unavailable"


class AccessDeniedError(StoreUnavailableError):
    """The store denied access. Without ListBucket, S3 also answers so for a missing key."""

    code = "access-denied"
