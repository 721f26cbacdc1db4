"""Checkpoints on object stores: always found, always whole, and a person can choose between them.

    import ckptptr

    with ckptptr.open("s3://bucket/run-42") as checkpoints:
        folder = checkpoints.restore("/tmp/state")     # None: the store confirmed that there is nothing
        checkpoints.save("/tmp/state", step=100)       # returns when a later restore finds it

Inside a Flyte task you change no code: see `ckptptr.flyte`. Importing this package loads neither flytekit
nor a cloud SDK.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    ConflictError,
    DamagedError,
    IncompleteError,
    InvalidArgumentError,
    LocalDiskError,
    LocalMachineError,
    NotFoundError,
    OutcomeUnknownError,
    PreemptedError,
    StoreUnavailableError,
    SupersededError,
    UnsupportedFormatError,
)
from ckptptr.version import __version__

if TYPE_CHECKING:
    from ckptptr.checkpoints import Checkpoint, Checkpoints
    from ckptptr.events import Event, on_event
    from ckptptr.protocol.candidates import Found, Verdict
    from ckptptr.protocol.resolve import Resolution
    from ckptptr.protocol.retention import Retention
    from ckptptr.session.batch import Batch
    from ckptptr.session.parts import Parts
    from ckptptr.session.preemption import Preemption
    from ckptptr.standalone import open
    from ckptptr.transfer.writer import Stream

_LAZY = {
    "Batch": "ckptptr.session.batch",
    "Checkpoint": "ckptptr.checkpoints",
    "Checkpoints": "ckptptr.checkpoints",
    "Event": "ckptptr.events",
    "Found": "ckptptr.protocol.candidates",
    "Parts": "ckptptr.session.parts",
    "Preemption": "ckptptr.session.preemption",
    "Resolution": "ckptptr.protocol.resolve",
    "Retention": "ckptptr.protocol.retention",
    "Stream": "ckptptr.transfer.writer",
    "Verdict": "ckptptr.protocol.candidates",
    "on_event": "ckptptr.events",
    "open": "ckptptr.standalone",
}

__all__ = [
    "open",
    "on_event",
    "Batch",
    "Checkpoint",
    "Checkpoints",
    "Event",
    "Found",
    "Parts",
    "Preemption",
    "Resolution",
    "Retention",
    "Stream",
    "Verdict",
    "AccessDeniedError",
    "CkptptrError",
    "ConflictError",
    "DamagedError",
    "IncompleteError",
    "InvalidArgumentError",
    "LocalDiskError",
    "LocalMachineError",
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
