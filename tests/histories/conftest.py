"""In these tests the order of requests is part of the history."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.histories.turns import one_after_the_other


@pytest.fixture(autouse=True)
def _in_order() -> Iterator[None]:
    with one_after_the_other():
        yield
