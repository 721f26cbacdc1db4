"""A seed, outside Flyte and in an execution that is started with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from ckptptr.testing import SimulatedNode
from ckptptr.testing.deaths import in_save
from tests.examples.texts import EXAMPLES, bash, commands, imported


@pytest.mark.slow
def test_a_new_run_begins_from_the_old_one_and_then_goes_on_from_its_own(tmp_path: Path) -> None:
    save, seed, _ = (command.replace("/tmp/", f"{tmp_path}/") for command in commands("seeding.py"))
    bash(save)
    first = bash(seed)
    assert f"found in the seed {tmp_path}/old" in first
    assert "saved step 8" in first
    bash(save)  # the old run goes on, which is nothing to the new one
    again = bash(seed)
    assert "seed" not in again
    assert "saved step 11" in again


def test_an_execution_is_started_with_its_seed_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import flytekit.remote

    maker = create_autospec(flytekit.remote.FlyteRemote)
    monkeypatch.setattr(flytekit.remote, "FlyteRemote", maker)
    imported("seeding", monkeypatch).launch("s3://bucket/old", 8)
    remote = maker.return_value
    assert remote.execute.call_args.args == (remote.fetch_task.return_value,)
    assert remote.execute.call_args.kwargs["envs"] == {"CKPTPTR_SEED": "s3://bucket/old"}


@pytest.mark.slow
def test_the_command_line_of_flytekit_takes_the_seed_as_the_text_says() -> None:
    *_, command = commands("seeding.py")
    program, run, _, option, value, *_ = command.split()
    assert f",{option} " in bash(f"{program} {run} --help")
    assert value.startswith("CKPTPTR_SEED=s3://")


@pytest.mark.servers
def test_the_unchanged_counter_counts_on_from_another_execution(
    flyte_node: Callable[..., SimulatedNode],
) -> None:
    old = flyte_node("counter_task", "count_to", folder=str(EXAMPLES), inputs={"n": 8})
    old.run(0, in_save(4))
    new = replace(old, execution="another", environ={"CKPTPTR_SEED": old.prefix})
    assert new.run(0).outputs == {"o0": "counted from 3 to 8"}
