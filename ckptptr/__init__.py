"""Checkpoints on object stores that are always found, always whole, and can be chosen by hand.

    import ckptptr

    with ckptptr.open("s3://bucket/run-42") as checkpoints:
        folder = checkpoints.restore("/tmp/state")     # None: nothing there, proven
        checkpoints.save("/tmp/state", step=100)       # returns when a later restore finds it

Inside a Flyte task nothing needs to be written at all: see `ckptptr.flyte`. Importing this package
loads neither flytekit nor a cloud SDK.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    LocalDiskError,
    NotFoundError,
    OutcomeUnknownError,
    PreemptedError,
    StoreUnavailableError,
    SupersededError,
    UnsupportedFormatError,
)
from ckptptr.version import __version__

if TYPE_CHECKING:
    from ckptptr.checkpoint import Checkpoint
    from ckptptr.checkpoints import Checkpoints
    from ckptptr.protocol.candidates import Verdict
    from ckptptr.protocol.resolve import Resolution
    from ckptptr.protocol.retention import Retention
    from ckptptr.standalone import open

_LAZY = {
    "Checkpoint": "ckptptr.checkpoint",
    "Checkpoints": "ckptptr.checkpoints",
    "Resolution": "ckptptr.protocol.resolve",
    "Retention": "ckptptr.protocol.retention",
    "Verdict": "ckptptr.protocol.candidates",
    "open": "ckptptr.standalone",
}

__all__ = [
    "open",
    "Checkpoint",
    "Checkpoints",
    "Resolution",
    "Retention",
    "Verdict",
    "AccessDeniedError",
    "CkptptrError",
    "ConflictError",
    "DamagedError",
    "InvalidArgumentError",
    "LocalDiskError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PreemptedError",
    "StoreUnavailableError",
    "SupersededError",
    "UnsupportedFormatError",
    "__version__",
]

if not TYPE_CHECKING:  # or type checkers would take any name for one of ours

    def __getattr__(name: str) -> object:
        """Load what costs time (JSON codecs, thread pools, stores) when it is first asked for."""
        if name in _LAZY:
            return getattr(import_module(_LAZY[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
