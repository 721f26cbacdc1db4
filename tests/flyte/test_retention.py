"""The retention of a task: by its code or its environment, whatever is called first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import ckptptr
from ckptptr.checkpoints import Checkpoints
from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint
from ckptptr.nodes.plain import node_at
from ckptptr.protocol.retention import Retention
from ckptptr.session.session import Session
from ckptptr.stores.memory import MemoryStore
from ckptptr.testing import SimulatedNode
from ckptptr.testing.deaths import after_save

UNDER_THE_DEFAULT = r"has saved under Retention\(keep_last=3.*CKPTPTR_KEEP_LAST"
BEST = Retention(keep_last=1, keep_best=1, best_by="loss")
TASKS = str(Path(__file__).with_name("tasks"))


@pytest.fixture
def made() -> PointerCheckpoint:
    store = MemoryStore()
    return PointerCheckpoint(
        "memory://b/run/attempts/0",
        None,
        lambda: Checkpoints(Session(store, node_at(store, "b/run", attempt=0, read_only=False))),
    )


def steps_after_training(made: PointerCheckpoint) -> list[int | None]:
    for step, loss in enumerate((3, 1, 2, 4)):
        made.save(b"x", step=step, metadata={"loss": loss})
    return [checkpoint.step for checkpoint in made.history()]


def test_it_counts_before_anything_is_opened(made: PointerCheckpoint) -> None:
    made.retain(BEST)
    assert steps_after_training(made) == [3, 1]


def test_it_counts_after_a_restore_too(made: PointerCheckpoint) -> None:
    assert made.restore() is None
    made.retain(BEST)
    assert steps_after_training(made) == [3, 1]


def test_the_same_one_may_be_given_at_every_use(made: PointerCheckpoint) -> None:
    made.retain(BEST)
    made.save(b"x", step=1)
    made.retain(replace(BEST))


def test_one_that_comes_after_a_save_is_too_late(made: PointerCheckpoint) -> None:
    made.save(b"x", step=1)
    made.retain(Retention())  # what it was saved under
    with pytest.raises(ckptptr.InvalidArgumentError, match=r"given another retention before"):
        made.retain(BEST)


def test_without_one_before_the_error_names_what_was_saved_under(made: PointerCheckpoint) -> None:
    made.save(b"x", step=1)
    with pytest.raises(ckptptr.InvalidArgumentError, match=UNDER_THE_DEFAULT):
        made.retain(BEST)


def test_two_that_differ_contradict_each_other(made: PointerCheckpoint) -> None:
    made.retain(BEST)
    with pytest.raises(ckptptr.InvalidArgumentError, match="given another retention before"):
        made.retain(Retention(keep_last=9))


@pytest.mark.servers
@pytest.mark.parametrize("way", ["code", "environment", "late"])
def test_the_best_is_kept_over_attempts_and_restored_by_its_step(tmp_path: Path, way: str) -> None:
    environ = {"CKPTPTR_KEEP_LAST": "1", "CKPTPTR_KEEP_BEST": "loss:min:1"} if way == "environment" else {}
    node = SimulatedNode("retaining", "train", f"{tmp_path}/data", TASKS, {"way": way}, environ=environ)
    first = node.run(0, after_save(3))
    assert first.signal == 9, first.log
    second = node.run(1)
    # Losses are 4, 1, 3 in attempt 0, and 2, 5 in attempt 1.
    assert second.outputs == {"o0": "resumed from 2; best b'state 1', retained [4, 1]; late: too late"}, (
        second.log
    )


@pytest.mark.servers
def test_the_best_is_kept_although_latest_was_deleted_between_two_attempts(tmp_path: Path) -> None:
    node = SimulatedNode("retaining", "train", f"{tmp_path}/data", TASKS, {"way": "code"})
    node.run(0, after_save(3))
    (latest,) = tmp_path.glob("data/_ckptptr/*/*/*/*/LATEST")
    latest.unlink()
    second = node.run(1)
    assert second.outputs == {"o0": "resumed from 2; best b'state 1', retained [4, 1]; late: too late"}, (
        second.log
    )
