"""Map tasks and dynamic workflows: each child resumes, also where its parent was tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ckptptr.testing import SimulatedNode, assert_resumes, simulate
from ckptptr.testing.deaths import after_save
from tests.examples.texts import EXAMPLES, bash, commands, imported, simulated

pytestmark = pytest.mark.servers  # all of it runs pyflyte-execute


def test_an_index_that_dies_resumes() -> None:
    life = simulated("map_task.py")
    assert life["node"].endswith("/n0-0-n1")
    assert life["outputs"] == {"o0": "35655, counted from 28001"}


def test_an_index_goes_on_where_it_was_when_the_whole_map_task_is_tried_again(
    flyte_node: Callable[..., SimulatedNode],
) -> None:
    node = flyte_node(
        "map_task", "longest_chain", folder=str(EXAMPLES), inputs={"first": [1, 20001]}, index=1
    )
    killed = node.run(0, after_save(4))
    assert killed.signal == 9
    again = replace(node, parent_attempt=1).run(0)
    assert again.outputs == {"o0": "35655, counted from 36001"}, again.log


def test_the_whole_map_task_runs_locally(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = imported("map_task", monkeypatch).longest_chains(first=[1, 20001])
    assert slices == ["17673, counted from 1", "35655, counted from 20001"]


def test_the_dynamic_workflow_runs_locally_as_its_text_says() -> None:
    (locally, _) = commands("dynamic_workflow.py")
    assert "degree 3, off by 0.135 at most" in bash(locally)


def test_a_child_of_the_dynamic_workflow_that_dies_resumes() -> None:
    life = simulated("dynamic_workflow.py")
    assert life["finished"]
    assert life["attempts"][2]["restored"]["seq"] == 3
    assert life["repeated_steps"] == []


def test_a_child_goes_on_when_the_dynamic_task_is_tried_again_because_it_says_so(
    flyte_node: Callable[..., SimulatedNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = imported("dynamic_workflow", monkeypatch).fit
    node = flyte_node("dynamic_workflow", "fit", folder=str(EXAMPLES), inputs={"degree": 1}, node="n0/0/dn1")
    assert node.run(0, after_save(3)).signal == 9
    retried = replace(node, node="n0/1/dn1", environ=fit.environment)
    life = simulate(retried)
    assert_resumes(life)
    assert [save.step for save in life.attempts[0].saves] == [4, 5, 6, 7, 8]
    assert life.outputs == {"o0": pytest.approx(fit(degree=1))}
