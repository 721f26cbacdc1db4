"""For tests of programs that use ckptptr, and of stores that you write.

`simulate` runs a Flyte task through attempts that die; `assert_resumes` checks that it resumed.
`FaultyStore` adds faults to any store; `StoreConformance` is the port's contract as a pytest suite.
Names are loaded when they are used: only the suite needs pytest, only attempts need the SDK of Flyte.

May import everything but cli and report; nothing outside may import it, but `ckptptr simulate`. The rule: an
attempt is real, a `pyflyte-execute` or `a0` of its own and real signals; only what Flyte decides is computed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckptptr.testing.actions import SimulatedAction
    from ckptptr.testing.attempts import SimulatedNode
    from ckptptr.testing.conformance import StoreConformance
    from ckptptr.testing.conformance.faults import FaultConformance
    from ckptptr.testing.faults import Fault, FaultyStore, Killed, Request
    from ckptptr.testing.life import Life, assert_resumes, simulate
    from ckptptr.testing.outcome import Attempt

__all__ = [
    "Attempt",
    "Life",
    "SimulatedAction",
    "SimulatedNode",
    "assert_resumes",
    "simulate",
    "Fault",
    "FaultConformance",
    "FaultyStore",
    "Killed",
    "Request",
    "StoreConformance",
]

_MODULES = {
    "Attempt": "outcome",
    "Life": "life",
    "FaultConformance": "conformance.faults",
    "SimulatedAction": "actions",
    "SimulatedNode": "attempts",
    "StoreConformance": "conformance",
    "assert_resumes": "life",
    "simulate": "life",
}

if not TYPE_CHECKING:  # or type checkers would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'faults')}"), name)
