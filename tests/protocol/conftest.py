"""A bucket with one node in it, in both layouts where a test does not care."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import LAYOUTS, World


@pytest.fixture(params=LAYOUTS, ids=["plain", "flyte"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(tmp_path, request.param)
