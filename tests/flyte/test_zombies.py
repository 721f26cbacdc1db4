"""Two attempts of a node alive at once: the older one ends at its next save, and LATEST never moves back."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ckptptr.testing.attempts import SimulatedNode
from tests.flyte.stepping import Stepping, stepping_node

pytestmark = pytest.mark.servers  # all of it runs pyflyte-execute


@pytest.fixture
def node(tmp_path: Path) -> SimulatedNode:
    return stepping_node(tmp_path)


@pytest.fixture
def older(node: SimulatedNode) -> Iterator[Stepping]:
    """Attempt 0, which has saved steps 1 and 2, and is paused as on a machine that lost its network."""
    with Stepping(node, 0) as attempt:
        assert attempt.answer() == "restored nothing"
        attempt.order("save 1")
        attempt.order("save 2")
        attempt.pause()
        yield attempt


def latest(node: SimulatedNode) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(node.prefix, "LATEST").read_text())
    return found


def wake_up_and_save(older: Stepping, step: int) -> None:
    """Let the zombie go on: its save is refused, and its task fails so that Flyte may retry it."""
    older.tell(f"save {step}")
    older.send(signal.SIGCONT)
    ended = older.end()
    assert ended.kind == "RECOVERABLE", ended.log
    assert "SupersededError: attempt 1 has taken over, this is attempt 0" in ended.error
    assert ended.outputs is None


def test_the_newer_has_published(node: SimulatedNode, older: Stepping) -> None:
    with Stepping(node, 1) as newer:
        assert newer.answer() == "restored 2"
        newer.order("save 3")
        before = latest(node)
        wake_up_and_save(older, 100)
        assert latest(node) == before
        newer.order("save 4")
        assert [latest(node)["step"], *(entry["step"] for entry in latest(node)["history"])] == [4, 3, 2]


def test_the_newer_has_only_adopted(node: SimulatedNode, older: Stepping) -> None:
    Path(node.prefix, "LATEST").unlink()
    with Stepping(node, 1) as newer:
        assert newer.answer() == "restored 2"  # by the walk-back
        newer.order("wait")  # for the forward copy, which moves LATEST to itself
        before = latest(node)
        assert (before["step"], before["fence"]) == (2, 1)
        wake_up_and_save(older, 100)
        assert latest(node) == before
        newer.order("save 3")
        assert latest(node)["step"] == 3
    with Stepping(node, 2) as third:
        assert third.answer() == "restored 3"
