"""For tests of programs that use ckptptr, and of stores that others write.

`FaultyStore` puts faults around any store; `StoreConformance` is the port's contract as a pytest
suite. Names are loaded when asked for: only the suite needs pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckptptr.testing.conformance import StoreConformance
    from ckptptr.testing.faults import Fault, FaultyStore, Killed, Request

__all__ = ["Fault", "FaultyStore", "Killed", "Request", "StoreConformance"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "conformance" if name == "StoreConformance" else "faults"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
