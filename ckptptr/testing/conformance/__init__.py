"""The port's contract as a pytest suite: every adapter runs it, also yours.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def store(self): return MyStore(...)

        @pytest.fixture
        def folder(self): return f"bucket/{uuid4()}"

A limit of an adapter is declared in a class attribute, never skipped silently. `FaultConformance` in
`ckptptr.testing.conformance.faults` is a second suite, for a failing network. For readable assertions:
`pytest.register_assert_rewrite("ckptptr.testing.conformance")` in a conftest.
"""

from __future__ import annotations

from ckptptr.testing.conformance.control import Control
from ckptptr.testing.conformance.payload import Payload


class StoreConformance(Control, Payload):
    """The whole suite. Subclasses give the fixtures `store` and `folder`, a key prefix that no test used."""
