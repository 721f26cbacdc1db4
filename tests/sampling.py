"""Parameters that are many or slow: `make test-fast` takes the first, `make test` all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def sampled(values: Iterable[Any]) -> list[Any]:
    """The first as it is, the others marked `slow`."""
    first, *others = values
    return [first, *(pytest.param(other, marks=pytest.mark.slow) for other in others)]
