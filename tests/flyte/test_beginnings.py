"""Where a task begins that has nothing of its own, with the real `pyflyte-execute`: a recovered execution,
the previous attempt of its parent, a seed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ckptptr.testing.attempts import Attempt, Fault, SimulatedNode
from ckptptr.testing.life import Life
from tests.flyte.places import Place

pytestmark = pytest.mark.servers  # all of it runs pyflyte-execute

EXAMPLES = Path(__file__).parents[2] / "examples"
IN_THE_MIDDLE_OF_SAVE_4 = Fault("kill", op="upload", nth=4, when="after")
BEFORE_ITS_FIRST_SAVE = Fault("kill", op="upload", nth=1, when="before")
COUNTED_ON = {"o0": "counted from 3 to 8"}
FROM_NOTHING = {"o0": "counted from 0 to 8"}


def node_at(tmp_path: Path, **changes: Any) -> SimulatedNode:
    root, inputs = f"{tmp_path}/data", changes.pop("inputs", {"n": 8})
    return SimulatedNode("counter_task", "count_to", root, str(EXAMPLES), inputs, **changes)


def recovering(old: SimulatedNode, attempt: int, **changes: Any) -> SimulatedNode:
    """The same node of another execution, which is recovered from `old` whose last attempt that was."""
    return replace(old, **{"execution": "recovered-run", "previous": old.home(attempt), **changes})


def pointer_of(node: SimulatedNode) -> dict[str, Any]:
    return json.loads(Path(node.prefix, "LATEST").read_bytes())


def parents(node: SimulatedNode, attempt: int) -> set[str | None]:
    """The `parent` of all manifests of an attempt."""
    return {
        json.loads(path.read_bytes())["parent"] for path in Path(node.home(attempt)).glob("manifests/*.json")
    }


def resumed(attempt: Attempt, where: str) -> None:
    assert attempt.outputs == COUNTED_ON, attempt.log
    assert f"found in {where}" in attempt.log
    assert attempt.restored is not None
    assert attempt.restored.verdict == "origin"


def test_a_recovered_execution_goes_on_where_the_old_one_was_and_its_later_attempts_need_no_link(
    killed: Place,
) -> None:
    old = killed.node
    old.die_before_python(1)
    new = recovering(old, 1)
    assert new.run(0, BEFORE_ITS_FIRST_SAVE).signal == 9  # it had just restored
    last = new.run(1)
    assert last.outputs == COUNTED_ON, last.log
    assert "by LATEST" in Life((last,)).timeline()  # its own copy of what attempt 0 took from the old one
    # Recovered once more, from an attempt that left nothing.
    again = recovering(new, 2, execution="recovered-twice", inputs={"n": 9})
    assert again.run(0).outputs == {"o0": "counted from 8 to 9"}


@pytest.mark.parametrize("hold", [False, True])
def test_an_old_execution_whose_homes_are_hashed_is_learnt_from_its_manifests(
    tmp_path: Path, hold: bool
) -> None:
    old = node_at(tmp_path, execution="e" * 63)
    old.run(0, IN_THE_MIDDLE_OF_SAVE_4)
    if hold:
        oldest = pointer_of(old)["history"][-1]["checkpoint"]
        Path(old.prefix, "LATEST").write_text(oldest)
    else:
        replace(old, inputs={"n": 4}).run(1)
        for path in Path(old.home(1), "data").rglob("_dst_cp"):
            path.write_bytes(b"x")  # damaged: only the LATEST there leads to attempt 0
    attempt = recovering(old, 0 if hold else 1).run(0)
    assert attempt.outputs == ({"o0": "counted from 1 to 8"} if hold else COUNTED_ON), attempt.log
    assert f"found in execution {'e' * 63}" in attempt.log


def test_a_seed_is_where_a_new_execution_begins_and_what_log_shows_as_its_parent(
    killed: Place, tmp_path: Path
) -> None:
    old = killed.node
    elsewhere = replace(
        old, root=f"{tmp_path}/elsewhere", execution="seeded", environ={"CKPTPTR_SEED": old.prefix}
    )
    first = elsewhere.run(0, BEFORE_ITS_FIRST_SAVE)
    assert f"found in the seed {old.prefix}" in first.log
    assert any(old.home(0) in (parent or "") for parent in parents(elsewhere, 0))
    for path in Path(old.root).rglob("_dst_cp"):
        path.unlink()
    second = elsewhere.run(1)  # its own copy is all that it needs
    assert second.outputs == COUNTED_ON, second.log


def test_a_task_can_say_itself_where_it_begins(killed: Place) -> None:
    old = killed.node
    new = replace(
        old,
        module="seeded",
        task="begin",
        folder=str(Path(__file__).with_name("tasks")),
        execution="a-new-run",
        inputs={"seed": old.prefix},
    )
    told = new.run(0)
    assert told.outputs == {"o0": "3; the checkpoint of this task was used before it was given this seed"}, (
        told.log
    )


def test_a_seed_that_is_not_there_fails_the_task_and_is_no_fresh_start(tmp_path: Path) -> None:
    failed = node_at(tmp_path, environ={"CKPTPTR_SEED": f"{tmp_path}/nothing/here"}).run(0)
    assert failed.outputs is None
    assert "there is no checkpoint that can be restored in the seed" in failed.error


def test_a_map_index_continues_when_its_map_task_is_retried(tmp_path: Path) -> None:
    index = node_at(tmp_path, index=1, inputs={"n": [8, 8]})
    index.run(0, IN_THE_MIDDLE_OF_SAVE_4)
    index.die_before_python(1)
    retried = replace(index, parent_attempt=1)
    resumed(retried.run(0), "the previous attempt of the parent (n0/0/n1)")


def test_a_dynamic_child_continues_after_a_retry_of_its_parent_only_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    node_at(tmp_path, node="n0/0/dn0").run(0, IN_THE_MIDDLE_OF_SAVE_4)
    retried = node_at(tmp_path, node="n0/1/dn0", environ={"CKPTPTR_ACROSS_PARENT_RETRIES": "1"})
    other = retried.run(0, FLYTE_INTERNAL_TASK_VERSION="v2")
    assert other.outputs == FROM_NOTHING, other.log
    assert "it belongs to task counter_task.count_to, version v1; this is" in other.log
    # The next one of the parent has both to choose from, and the nearest is not of its version.
    third = replace(retried, node="n0/2/dn0")
    assert "a fresh start" in replace(third, environ={}).run(0, BEFORE_ITS_FIRST_SAVE).log
    resumed(third.run(1), "the previous attempt of the parent (n0/0/dn0)")
