"""The process that imports the frameworks once, for all tests of a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.frameworks.launch import Forks


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    made = Forks()
    yield made
    made.close()
