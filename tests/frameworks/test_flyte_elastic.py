"""Distributed tasks: real `pyflyte-execute`, kfpytorch's Elastic, real workers, spawned and forked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ckptptr.testing.attempts import Attempt, SimulatedNode

pytestmark = pytest.mark.timeout(400)  # each worker imports torch and flytekit

TASKS = Path(__file__).parent / "tasks"
NEVER = -1
ALL_SAVED_ONCE = {"at-once-0": "0", "at-once-1": "0", "rank-0": "1", "rank-1": "1"}


@dataclass(frozen=True)
class Training:
    """The node of an elastic training, and what its ranks noted."""

    node: SimulatedNode
    notes: Path

    def run(self, attempt: int, *, die_in_round: int = NEVER) -> Attempt:
        inputs = {"notes": str(self.notes), "die_in_round": die_in_round}
        return replace(self.node, inputs=inputs).run(attempt, timeout=170)

    def saw(self, attempt: int, round_: int) -> list[dict[str, Any]]:
        """By rank."""
        found = sorted(self.notes.glob(f"attempt-{attempt}-round-{round_}-rank-*"))
        return [json.loads(path.read_text()) for path in found]


def training(
    tmp_path: Path,
    task: str,
    *,
    root: str = "",
    execution: str = "axq2rsxnmht57kq9sxpt",
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Training:
    notes = tmp_path / "notes"
    notes.mkdir()
    node = SimulatedNode(
        "elastic_training",
        task,
        root=root or f"{tmp_path}/data",
        folder=str(TASKS),
        execution=execution,
        environ=environ or {},
        storage_options=options or {},
    )
    return Training(node, notes)


def check_a_restart_inside_the_attempt(run: Training, number: int) -> None:
    """The ranks start fresh, save all at once, one dies, and all resume from the newest, the same."""
    attempt = run.run(number, die_in_round=0)
    assert attempt.outputs == {"o0": "trained"}, attempt.log
    assert [saw["files"] for saw in run.saw(number, 0)] == [{}, {}]
    # Rank 0 had saved again before rank 1 restored.
    assert [saw["files"] for saw in run.saw(number, 1)] == [ALL_SAVED_ONCE, ALL_SAVED_ONCE]
    prefixes = {saw["prefix"] for round_ in (0, 1) for saw in run.saw(number, round_)}
    assert prefixes == {run.node.prefix.partition("://")[2] or run.node.prefix}


def test_spawned_ranks_of_a_hashed_uid_find_their_node_and_restart(
    tmp_path: Path,
) -> None:
    run = training(tmp_path, "spawned", execution="a-name-so-long-that-flyte-makes-hashes-of-all-its-uids")
    assert run.node.home(0).split("/")[-2].startswith("f")
    check_a_restart_inside_the_attempt(run, 1)


def test_forked_ranks_on_s3_do_so_too(tmp_path: Path, s3_server: Any, s3_bucket: str) -> None:
    options = {
        "key": s3_server.access_key,
        "secret": s3_server.secret_key,
        "endpoint_url": s3_server.endpoint,
    }
    environ = {
        "FLYTE_AWS_ENDPOINT": s3_server.endpoint,
        "FLYTE_AWS_ACCESS_KEY_ID": s3_server.access_key,
        "FLYTE_AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        # Without the agent's store, which some switch off since it does not go well with restarts.
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    root = f"s3://{s3_bucket}/{tmp_path.name}/data"
    check_a_restart_inside_the_attempt(
        training(tmp_path, "forked", root=root, environ=environ, options=options), 0
    )


def test_where_only_rank_0_saves_the_code_is_that_of_a_stock_task_and_a_zombie_ends_as_one(
    tmp_path: Path,
) -> None:
    node = training(tmp_path, "forked_and_only_rank_0_saves").node
    assert replace(node, inputs={"n": 3}).run(0).outputs == {"o0": "counted from 0 to 3"}
    node.die_before_python(1)
    last = replace(node, inputs={"n": 5}).run(2)
    assert last.outputs == {"o0": "counted from 3 to 5"}, last.log
    zombie = replace(node, inputs={"n": 7}).run(1)
    assert zombie.kind == "RECOVERABLE", zombie.log
    assert "SupersededError" in zombie.error
