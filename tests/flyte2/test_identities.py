"""Which node a task of Flyte 2 has: its own action's, however the process came to run it."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import flyte
import pytest
from flyte._internal.runtime import rusty
from flyte.models import CheckpointPaths

from ckptptr.flyte2 import checkpoint as asked
from ckptptr.flyte2.plugin import install
from ckptptr.nodes.flyte_paths import HOME
from tests.flyte2.contexts import checkpoint, context, run

env = flyte.TaskEnvironment(name="reused")
SAVES = 3
made: list[weakref.ref[Any]] = []


@env.task
async def counts() -> str:
    """Stock code; it fails in its first attempt."""
    ours = flyte.ctx().checkpoint
    action = flyte.ctx().task_action.name
    loaded = await ours.load()
    start = loaded.read_text() if loaded else f"{action} 0"
    for number in range(1, SAVES + 1):
        await ours.save(f"{action} {number}".encode(), block=number > 1)
    if loaded is None:
        raise RuntimeError("as in a first attempt")
    return f"{start} {loaded}"


async def reused(root: Path, attempt: int, actions: list[str]) -> None:
    """What a reusable container does: many actions at once, by the SDK's own function for it."""

    def homes(action: str, number: int) -> str:
        return f"{root}/q7/r1/{action}/{number}/{HOME}" if number else ""

    for action in actions:
        (root / "r1" / action / str(attempt)).mkdir(parents=True)
    await asyncio.gather(
        *(
            rusty.run_task(
                task=counts,
                controller=None,  # type: ignore[arg-type]
                org="o",
                project="p",
                domain="d",
                run_name="r1",
                name=action,
                raw_data_path=f"{root}/q7/r1/{action}/{attempt}",
                output_path=f"{root}/r1/{action}/{attempt}",
                run_base_dir=f"{root}/r1",
                version="v1",
                checkpoint_path=homes(action, attempt),
                prev_checkpoint=homes(action, attempt - 1),
            )
            for action in actions
        )
    )


def outputs(root: Path, action: str, attempt: int) -> str:
    from ckptptr.testing.literals import decode_outputs_of_2

    found = decode_outputs_of_2((root / "r1" / action / str(attempt) / "outputs.pb").read_bytes())
    return str(found["o0"])


def test_a_reusable_container_runs_many_actions_at_once_and_none_meets_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment is that of the container: it names another action."""
    monkeypatch.setenv("ACTION_NAME", "of-the-container")
    monkeypatch.setenv("RUN_NAME", "of-the-container")
    monkeypatch.setenv("_U_RUN_BASE", "/nowhere")
    install()
    flyte.init()
    actions = [f"action{number}" for number in range(6)]
    before = set(threading.enumerate())
    asyncio.run(reused(tmp_path, 1, actions))
    asyncio.run(reused(tmp_path, 2, actions))
    told = [outputs(tmp_path, action, 2).partition(" /") for action in actions]
    assert [text for text, _, _ in told] == [f"{action} {SAVES}" for action in actions]
    prefixes = {str(path.parent.name) for path in tmp_path.glob("q7/r1/_ckptptr/p/d/r1/*/LATEST")}
    assert prefixes == {f"{action}_v2" for action in actions}

    def is_tidy() -> bool:
        """No thread is left, and what was loaded is removed."""
        folders = [Path(f"/{folder}") for _, _, folder in told]
        return set(threading.enumerate()) <= before and not any(folder.exists() for folder in folders)

    end = time.monotonic() + 10
    while not is_tidy() and time.monotonic() < end:
        time.sleep(0.01)
    assert is_tidy()


def test_when_its_task_has_ended_a_checkpoint_is_collected(tmp_path: Path) -> None:
    """A reusable container lives for days."""

    @env.task
    async def saves() -> None:
        ours = flyte.ctx().checkpoint
        made.append(weakref.ref(ours.checkpoints._session))
        await ours.load()
        await ours.save(b"state", block=False)

    made.clear()
    for action in ("a0", "b1"):
        of = context(tmp_path, action=action)
        assert asyncio.run(run(saves, of)) == (None, None)
        del of
    end = time.monotonic() + 10
    while any(each() for each in made) and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    assert [each() for each in made] == [None, None]


def test_an_action_that_an_action_starts_has_a_node_of_its_own(tmp_path: Path) -> None:
    checkpoint(tmp_path, action="a0").save_sync(b"of the parent")
    child = checkpoint(tmp_path, action="7xk2mf9q0b1c")
    assert child.load_sync() is None
    child.save_sync(b"of the child")
    again = checkpoint(tmp_path, 2, action="a0")
    loaded = again.load_sync()
    assert loaded is not None
    assert loaded.read_bytes() == b"of the parent"


def test_a_trace_has_the_checkpoint_of_its_task(tmp_path: Path) -> None:
    @env.task
    async def traced() -> bool:
        from flyte._context import internal_ctx

        here = internal_ctx()
        step = here.data.task_context.replace(action=here.data.task_context.action.new_sub_action("step"))
        with here.replace_task_context(step):  # as `flyte.trace` does
            inside = asked()
        return inside is asked() and inside.place.identity.lineage == "a0"

    assert asyncio.run(run(traced, context(tmp_path))) == (True, None)


def test_a_rerun_begins_anew(tmp_path: Path) -> None:
    checkpoint(tmp_path, run="r1").save_sync(b"of the old run")
    assert checkpoint(tmp_path, run="r2").load_sync() is None


def test_a_recovered_run_takes_what_flyte_names_of_the_old_one_and_needs_it_once(tmp_path: Path) -> None:
    checkpoint(tmp_path, 3, run="r1").save_sync(b"of the old run")
    paths = context(tmp_path, run="r2").checkpoint_paths
    assert paths is not None
    named = CheckpointPaths(f"{tmp_path}/q7/r1/a0/3/{HOME}", paths.checkpoint_path)
    first = checkpoint(tmp_path, run="r2", checkpoint_paths=named)
    loaded = first.load_sync()
    assert loaded is not None
    assert loaded.read_bytes() == b"of the old run"
    first.close()
    second = checkpoint(tmp_path, 2, run="r2")
    loaded = second.load_sync()
    assert loaded is not None
    assert loaded.read_bytes() == b"of the old run"


def test_the_lineage_has_the_name_of_the_task_and_its_version(tmp_path: Path) -> None:
    @env.task
    async def named() -> str:
        await asked().save(b"state")
        return asked().place.identity.task

    of = context(tmp_path)
    assert asyncio.run(run(named, of)) == (named.name, None)
    assert named.name == "reused.named"
    manifest = next(tmp_path.glob("q7/r1/a0/1/*/manifests/*.json")).read_text()
    assert '"task":"reused.named","version":"v1"' in manifest.replace(" ", "").replace("\n", "")


def test_a_seed_and_a_retention_are_those_of_one_task(tmp_path: Path) -> None:
    from ckptptr import InvalidArgumentError, Retention

    checkpoint(tmp_path, run="old").save_sync(b"seed")
    seed = f"{tmp_path}/q7/old/_ckptptr/p/d/old/a0_v2"

    @env.task
    async def seeded(where: str) -> str:
        ours = asked(seed=where, retention=Retention(keep_last=1))
        loaded = await ours.load()
        return loaded.read_text() if loaded else "nothing"

    other = "in place of it"
    assert asyncio.run(run(seeded, context(tmp_path), where=seed)) == ("seed", None)
    assert asyncio.run(run(seeded, context(tmp_path, action="b1"), where="")) == ("nothing", None)
    assert "CKPTPTR_SEED" not in os.environ

    @env.task
    async def too_late() -> None:
        await asked().load()
        asked(seed=other)

    _, error = asyncio.run(run(too_late, context(tmp_path, action="c2")))
    assert isinstance(error, InvalidArgumentError)
    assert "before it was given this seed" in str(error)
