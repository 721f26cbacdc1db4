"""The pytest plugin: fixtures that make nodes in a temporary folder. It loads nothing until it is used.

def test_training_resumes(flyte_node):
    node = flyte_node("my_project.training", "train", inputs={"steps": 8})
    assert_resumes(simulate(node, ["after save 3"]), repeating_at_most=0)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ckptptr.testing.actions import SimulatedAction
    from ckptptr.testing.attempts import SimulatedNode


@pytest.fixture
def flyte_node(tmp_path: Path) -> Callable[..., SimulatedNode]:
    """Makes a `ckptptr.testing.SimulatedNode`: `flyte_node(module, task, inputs={...})`.

    By default `root` is a temporary folder and `folder` the working directory.
    """

    def make(module: str, task: str, **options: Any) -> SimulatedNode:
        from ckptptr.testing.attempts import SimulatedNode

        return SimulatedNode(module, task, **{**_places(tmp_path), **options})

    return make


@pytest.fixture
def flyte_action(tmp_path: Path) -> Callable[..., SimulatedAction]:
    """The same for a task of Flyte 2: makes a `ckptptr.testing.SimulatedAction`."""

    def make(module: str, task: str, **options: Any) -> SimulatedAction:
        from ckptptr.testing.actions import SimulatedAction

        return SimulatedAction(module, task, **{**_places(tmp_path), **options})

    return make


def _places(folder: Path) -> dict[str, str]:
    return {"root": str(folder / "data"), "folder": str(Path.cwd())}
