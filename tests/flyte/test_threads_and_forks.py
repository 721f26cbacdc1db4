"""A checkpoint of a task is used in its threads, and after a fork."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from ckptptr.checkpoints import Checkpoints
from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint
from ckptptr.nodes.plain import node_at
from ckptptr.session.session import Session
from ckptptr.stores.open import open_store
from ckptptr.testing.attempts import SimulatedNode

pytestmark = pytest.mark.servers

TASKS = Path(__file__).parent / "tasks"


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_checkpoint_that_was_used_before_a_fork_is_used_after_it_too(
    tmp_path: Path, s3_filesystem: Any, s3_bucket: str
) -> None:
    def opening() -> Checkpoints:
        store, key = open_store(f"s3://{s3_bucket}/{tmp_path.name}", filesystem=s3_filesystem)
        return Checkpoints(Session(store, node_at(store, key, attempt=0, read_only=False)))

    checkpoint = PointerCheckpoint("", None, opening)
    checkpoint.write(b"of the parent")
    before, inherited = checkpoint.restore(), checkpoint.checkpoints

    def child() -> None:
        inherited.close()  # which must not tidy up after the parent
        after = checkpoint.restore()
        assert after != before
        assert checkpoint.read() == b"of the parent"
        checkpoint.write(b"of the child")

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert before is not None
    assert before.is_dir()
    assert PointerCheckpoint("", None, opening).read() == b"of the child"


def test_threads_save_with_the_checkpoint_of_the_task_and_ask_for_it_by_name(tmp_path: Path) -> None:
    done = SimulatedNode("threads", "in_threads", root=f"{tmp_path}/data", folder=str(TASKS)).run(0)
    assert done.outputs is not None, done.log
    too_early, *later = str(done.outputs["o0"]).split("; ")
    assert "pass it on" in too_early
    assert later == ["6 bytes", "True"]
