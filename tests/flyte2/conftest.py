"""The story's action, with an empty root: on a disk, and on clouds' servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flyte2.places import Place, place_at


@pytest.fixture
def on_disk(tmp_path: Path) -> Place:
    return place_at(f"{tmp_path}/data", {}, {})
