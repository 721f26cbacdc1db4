"""The drop-in does what stock tasks expect of `flyte.ctx().checkpoint`, and more."""

from __future__ import annotations

import asyncio
import itertools
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import time
from inspect import signature
from pathlib import Path
from typing import Any

import flyte
import pytest
from flyte.errors import NonRecoverableError

import ckptptr
from ckptptr import errors
from ckptptr.checkpoints import Checkpoints
from ckptptr.flyte.errors import _RECOVERABLE
from ckptptr.flyte2.errors import _FINAL, final
from ckptptr.flyte2.pointer_checkpoint import PointerCheckpoint
from tests.flyte2.contexts import checkpoint, context


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a trainer leaves it."""
    made = tmp_path / "made"
    (made / "deep").mkdir(parents=True)
    (made / "last.ckpt").write_text("weights")
    (made / "deep" / "optimizer").write_text("momenta")
    return made


def texts(top: Path) -> dict[str, str]:
    return {str(p.relative_to(top)): p.read_text() for p in sorted(top.rglob("*")) if p.is_file()}


def test_it_is_a_flyte_checkpoint_with_the_paths_that_flyte_gave(tmp_path: Path) -> None:
    second = checkpoint(tmp_path, 2)
    assert isinstance(second, flyte.Checkpoint)
    assert second.remote_destination == f"{tmp_path}/q7/r1/a0/2/_flytecheckpoints"
    assert second.remote_source == f"{tmp_path}/q7/r1/a0/1/_flytecheckpoints"
    assert checkpoint(tmp_path).remote_source is None
    assert not any(tmp_path.iterdir())


def test_every_copy_of_a_context_has_the_same_one(tmp_path: Path) -> None:
    of_the_runner = context(tmp_path)
    from ckptptr.flyte2.plugin import task_of

    task_of(of_the_runner)
    of_the_task = of_the_runner.replace(data={"user": 1})
    traced = of_the_task.replace(action=of_the_task.action.new_sub_action("pseudo"))
    assert of_the_task.checkpoint is traced.checkpoint is of_the_runner.checkpoint
    assert traced.checkpoint.place.identity.lineage == "a0"


def test_without_a_checkpoint_every_way_of_asking_says_so_without_an_error(tmp_path: Path) -> None:
    first = checkpoint(tmp_path)
    assert not first.prev_exists()
    assert first.load_sync() is None
    assert asyncio.run(first.load()) is None


@pytest.mark.parametrize("kind", ["bytes", "file", "text path"])
def test_bytes_and_single_files_come_back_as_payload(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"state")
    checkpoint(tmp_path).save_sync({"bytes": b"state", "file": path, "text path": str(path)}[kind])
    second = checkpoint(tmp_path, 2)
    assert second.prev_exists()
    loaded = second.load_sync()
    assert loaded == second.path / "payload"
    assert loaded.read_bytes() == b"state"


def test_a_folder_comes_back_as_path_and_the_helper_finds_a_file_in_it(tmp_path: Path, folder: Path) -> None:
    async def saves_and_loads() -> Path | None:
        await checkpoint(tmp_path).save(folder)
        return await second.load()

    second = checkpoint(tmp_path, 2)
    assert asyncio.run(saves_and_loads()) == second.path
    assert texts(second.path) == texts(folder)
    assert flyte.latest_checkpoint(second.path) == second.path / "last.ckpt"


def test_a_folder_with_one_file_of_any_name_is_a_folder(tmp_path: Path) -> None:
    only = tmp_path / "only"
    only.mkdir()
    with tarfile.open(only / "payload", "w") as tar:
        tar.add(__file__, arcname="inside")
    checkpoint(tmp_path).save_sync(only)
    second = checkpoint(tmp_path, 2)
    assert second.load_sync() == second.path
    assert tarfile.is_tarfile(second.path / "payload")


def test_an_archive_that_was_saved_is_unpacked_as_the_stock_sdk_does(tmp_path: Path, folder: Path) -> None:
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as tar:
        tar.add(folder, arcname=".")
    checkpoint(tmp_path).save_sync(tmp_path / "all.tar.gz")
    second = checkpoint(tmp_path, 2)
    assert second.load_sync() == second.path
    assert texts(second.path) == texts(folder)


def test_every_save_replaces_all(tmp_path: Path, folder: Path) -> None:
    first = checkpoint(tmp_path)
    first.save_sync(folder)
    first.save_sync(folder / "last.ckpt")
    second = checkpoint(tmp_path, 2)
    loaded = second.load_sync()
    assert loaded is not None
    assert (loaded.name, [p.name for p in loaded.parent.iterdir()]) == ("payload", ["payload"])


def test_what_is_loaded_takes_the_place_of_what_was_in_the_folder(tmp_path: Path, folder: Path) -> None:
    checkpoint(tmp_path).save_sync(folder)
    second = checkpoint(tmp_path, 2)
    (second.path / "old").mkdir()
    (second.path / "old" / "file").write_text("stale")
    (second.path / "link").symlink_to(folder)
    assert second.load_sync() == second.load_sync() == second.path
    assert texts(second.path) == texts(folder)
    assert folder.is_dir()


def test_a_fresh_start_leaves_the_folder_as_it_is(tmp_path: Path) -> None:
    first = checkpoint(tmp_path)
    (first.path / "mine").write_text("of the task")
    assert first.load_sync() is None
    assert texts(first.path) == {"mine": "of the task"}


def test_what_is_not_there_is_refused_as_in_the_stock_sdk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="source path does not exist"):
        checkpoint(tmp_path).save_sync(tmp_path / "missing")


def test_a_save_has_a_step_metadata_and_may_be_in_the_background(tmp_path: Path) -> None:
    async def saves() -> None:
        first = checkpoint(tmp_path)
        await first.save(b"one", step=1, metadata={"loss": 0.5})
        done = await first.save(b"two", step=2, block=False)
        assert (await asyncio.wrap_future(done)).step == 2  # type: ignore[arg-type]
        first.wait()
        assert [entry.step for entry in first.history()] == [2, 1]

    asyncio.run(saves())
    assert checkpoint(tmp_path, 2).restore(step=1) is not None


@pytest.mark.pythons
def test_async_calls_never_block_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is slow; a ticker on the same loop shows no gap of a whole request."""
    gaps = [time.monotonic()]

    async def ticks() -> None:
        while True:
            gaps.append(time.monotonic())
            await asyncio.sleep(0.01)

    async def works() -> None:
        ticker = asyncio.create_task(ticks())
        attempt = checkpoint(tmp_path)
        assert await attempt.load() is None
        await attempt.save(b"state")
        ticker.cancel()

    from ckptptr.stores.local.store import LocalStore

    for name in ("read", "create"):
        stock = getattr(LocalStore, name)

        def slow(*given: Any, stock: Any = stock, **more: Any) -> Any:
            time.sleep(0.5)
            return stock(*given, **more)

        monkeypatch.setattr(LocalStore, name, slow)
    asyncio.run(works())
    assert gaps[-1] - gaps[0] > 1.5
    assert sorted(after - before for before, after in itertools.pairwise(gaps))[-1] < 0.4


def test_a_cancelled_save_is_finished_all_the_same(tmp_path: Path) -> None:
    async def gives_up() -> None:
        saving = asyncio.create_task(first.save(b"state"))
        await asyncio.sleep(0)
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving

    first = checkpoint(tmp_path)
    asyncio.run(gives_up())
    end = time.monotonic() + 20
    while first.latest is None and time.monotonic() < end:
        time.sleep(0.01)
    assert first.latest is not None


@pytest.mark.pythons
def test_another_process_opens_what_was_pickled_for_itself(tmp_path: Path) -> None:
    """The SDK's Elastic plugin pickles the context of the task into its workers."""
    import cloudpickle

    of = context(tmp_path)
    of.checkpoint.save_sync(b"state", step=4)
    (tmp_path / "pickled").write_bytes(cloudpickle.dumps(of.replace(report=None)))
    code = (
        "import pickle, sys; of = pickle.load(open(sys.argv[1], 'rb'))\n"
        "from ckptptr.flyte2.plugin import install; install()\n"
        "print(of.checkpoint.load_sync().read_text(), of.checkpoint.latest.step)\n"
        "of.checkpoint.save_sync(b'of the worker', step=5)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "pickled"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "state 4\n", done.stderr
    assert of.checkpoint.latest.step == 5


def test_pickled_twice_it_is_the_same_incarnation(tmp_path: Path) -> None:
    made = checkpoint(tmp_path)
    again = pickle.loads(pickle.dumps(made))  # noqa: S301 - ours
    assert (again.place, again.path == made.path) == (made.place, False)


def test_threads_share_it(tmp_path: Path) -> None:
    of, found = context(tmp_path), list[Any]()
    threads = [threading.Thread(target=lambda: found.append(of.checkpoint)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in found}) == 1


def test_closed_it_leaves_no_folder_and_no_thread(tmp_path: Path) -> None:
    checkpoint(tmp_path).save_sync(b"state")
    before = set(threading.enumerate())
    second = checkpoint(tmp_path, 2)
    loaded = second.load_sync()
    second.save_sync(b"more", block=False)
    second.close()
    assert loaded is not None
    assert not loaded.parent.exists()
    end = time.monotonic() + 10
    while set(threading.enumerate()) - before and time.monotonic() < end:
        time.sleep(0.01)
    assert set(threading.enumerate()) - before == set()


def test_an_old_attempt_that_still_runs_is_stopped_and_latest_stays(tmp_path: Path, folder: Path) -> None:
    zombie = checkpoint(tmp_path)
    zombie.save_sync(b"old", step=1)
    second = checkpoint(tmp_path, 2)
    second.save_sync(folder, step=2)
    with pytest.raises(errors.SupersededError) as caught:
        asyncio.run(zombie.save(b"older than that", step=3))
    assert not isinstance(caught.value, NonRecoverableError)
    assert checkpoint(tmp_path, 3).latest == second.latest


def test_a_predecessor_of_the_same_attempt_is_stopped_too(tmp_path: Path) -> None:
    """After a preemption the new pod has the same number, and is another incarnation."""
    zombie = checkpoint(tmp_path)
    zombie.save_sync(b"old", step=1)
    again = checkpoint(tmp_path)
    assert again.load_sync() is not None
    with pytest.raises(errors.SupersededError):
        zombie.save_sync(b"of the old pod", step=2)


# Errors


def kinds() -> list[type[errors.CkptptrError]]:
    every = [errors.CkptptrError]
    for kind in every:
        every += [each for each in kind.__subclasses__() if each.__module__ == "ckptptr.errors"]
    return every[1:]


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.__name__)
def test_what_flytekit_retries_flyte_2_retries_and_all_else_is_final(kind: type[errors.CkptptrError]) -> None:
    assert (kind in _RECOVERABLE) != (kind in _FINAL)
    with pytest.raises(kind, match=r"it happened: s3://b/x\. Do that") as caught, final():
        raise kind("it happened", key="s3://b/x", hint="Do that")
    assert isinstance(caught.value, NonRecoverableError) == (kind in _FINAL)
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - ours
    assert (type(again), str(again), again.code) == (type(caught.value), str(caught.value), kind.code)


def test_flyte_makes_an_error_document_of_a_final_error() -> None:
    from flyte._internal.runtime.convert import convert_from_native_to_error

    with pytest.raises(NonRecoverableError) as caught, final():
        raise errors.DamagedError("not ours", key="LATEST")
    made = convert_from_native_to_error(caught.value)
    assert (made.recoverable, made.err.code, made.err.message) == (
        False,
        "damaged",
        "not ours: LATEST",
    )
    assert convert_from_native_to_error(errors.StoreUnavailableError("gone")).recoverable


# The rest of Checkpoints


def public(kind: type) -> dict[str, object]:
    ours = [vars(base) for base in reversed(kind.mro()) if base.__module__.startswith("ckptptr")]
    return {name: value for of in ours for name, value in of.items() if not name.startswith("_")}


@pytest.mark.parametrize("name", sorted({*public(Checkpoints)} - {"save"}))
def test_its_methods_take_what_those_of_checkpoints_take(name: str) -> None:
    theirs, ours = public(Checkpoints)[name], public(PointerCheckpoint)[name]
    if isinstance(theirs, property):
        assert isinstance(ours, property)
        return
    expected = [(key, p.default) for key, p in signature(theirs).parameters.items() if key != "raises"]
    assert [(key, p.default) for key, p in signature(ours).parameters.items()] == expected


@pytest.mark.parametrize("name", ["save_sync"])
def test_saves_take_what_a_save_of_checkpoints_takes(name: str) -> None:
    expected = signature(Checkpoints.save).parameters
    ours = signature(getattr(PointerCheckpoint, name)).parameters
    assert [*ours] == ["data" if key == "content" else key for key in expected]


def test_outside_a_task_there_is_none_and_a_reason(tmp_path: Path) -> None:
    from ckptptr.flyte2 import checkpoint as asked

    assert flyte.ctx().checkpoint is None
    with pytest.raises(flyte.errors.NotInTaskContextError, match="no task in this thread"):
        asked()
    assert os.listdir(tmp_path) == []
    assert ckptptr.__version__
