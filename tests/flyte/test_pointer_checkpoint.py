"""The drop-in does what stock tasks expect of `flytekit.current_context().checkpoint`, and more."""

from __future__ import annotations

import io
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from inspect import signature
from operator import methodcaller
from pathlib import Path

import pytest
from flytekit.core.checkpointer import Checkpoint
from flytekit.exceptions.user import FlyteRecoverableException

import ckptptr
from ckptptr import errors
from ckptptr.checkpoints import Checkpoints
from ckptptr.flyte.errors import _RECOVERABLE, recoverable
from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint
from ckptptr.nodes.plain import node_at
from ckptptr.session.session import Session
from ckptptr.stores.memory import MemoryStore
from ckptptr.testing.faults import Fault, FaultyStore


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore())


def attempt(store: FaultyStore, number: int) -> PointerCheckpoint:
    def opening() -> Checkpoints:
        return Checkpoints(Session(store, node_at(store, "b/run", attempt=number, read_only=False)))

    return PointerCheckpoint(f"memory://b/run/attempts/{number}", None, opening)


def test_it_is_a_flytekit_checkpoint_and_opens_nothing_before_it_is_used(store: FaultyStore) -> None:
    made = attempt(store, 0)
    assert isinstance(made, Checkpoint)
    assert (made._checkpoint_dest, made._checkpoint_src) == ("memory://b/run/attempts/0", None)
    assert store.log == []


def test_without_a_checkpoint_every_way_of_asking_says_so_without_an_error(store: FaultyStore) -> None:
    first = attempt(store, 0)
    assert not first.prev_exists()
    assert first.read() is None
    assert first.restore() is None


def test_bytes_written_are_read_by_the_next_attempt(store: FaultyStore) -> None:
    attempt(store, 0).write(b"state")
    second = attempt(store, 1)
    assert second.prev_exists()
    assert second.read() == b"state"


def test_a_reader_is_saved_as_its_bytes(store: FaultyStore) -> None:
    attempt(store, 0).save(io.BytesIO(b"state"))
    assert attempt(store, 1).read() == b"state"


def test_files_saved_one_by_one_are_all_found(store: FaultyStore, tmp_path: Path) -> None:
    first = attempt(store, 0)
    for name in ("model.pt", "optimizer.pt"):
        (tmp_path / name).write_text(name)
        first.save(tmp_path / name)
    folder = attempt(store, 1).restore(tmp_path / "restored")
    assert folder is not None
    assert sorted(path.name for path in folder.iterdir()) == ["model.pt", "optimizer.pt"]


def test_read_refuses_to_choose_between_several_files(store: FaultyStore, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    attempt(store, 0).save(tmp_path)
    with pytest.raises(ValueError, match=r"exactly one checkpoint - found 2 \(a, b\)"):
        attempt(store, 1).read()


def test_restore_caches_its_first_answer_as_stock_flytekit_does(store: FaultyStore, tmp_path: Path) -> None:
    attempt(store, 0).write(b"state")
    second = attempt(store, 1)
    assert second.restore(tmp_path / "here") == tmp_path / "here"
    assert second.restore(tmp_path / "there") == tmp_path / "here"


def test_with_only_each_call_restores_what_it_asks_for(store: FaultyStore, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "saved").mkdir(exist_ok=True)
        (tmp_path / "saved" / name).write_text(name)
    attempt(store, 0).save(tmp_path / "saved")
    second = attempt(store, 1)
    for number, names in enumerate((["a"], ["b"], ["a", "b"])):
        folder = second.restore(tmp_path / str(number), only=names if number < 2 else None)
        assert folder == tmp_path / str(number)
        assert sorted(file.name for file in folder.iterdir()) == names


def test_restore_may_come_after_a_save_and_then_finds_it(store: FaultyStore) -> None:
    attempt(store, 0).write(b"old")
    second = attempt(store, 1)
    second.write(b"new")
    assert second.read() == b"new"


def test_restoring_to_a_file_is_a_value_error(store: FaultyStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="restored to a folder"):
        attempt(store, 0).restore(tmp_path / "file")


def test_a_batch_is_one_checkpoint_with_a_step(store: FaultyStore, tmp_path: Path) -> None:
    first = attempt(store, 0)
    with first.batch(step=12, metadata={"loss": 0.1}) as batch:
        for name in ("a", "b"):
            (tmp_path / name).write_text(name)
            batch.save(tmp_path / name)
    first.wait()
    (only,) = first.history()
    assert only.step == 12


def test_the_resolution_says_where_it_came_from(store: FaultyStore) -> None:
    attempt(store, 0).write(b"state")
    second = attempt(store, 1)
    assert second.resolution is None
    second.read()
    assert second.resolution is not None
    assert second.resolution.verdict is ckptptr.Verdict.POINTER


def test_a_named_checkpoint_is_restored_also_after_another_and_stays_the_one(
    store: FaultyStore, tmp_path: Path
) -> None:
    first = attempt(store, 0)
    older = first.write(b"older")
    first.write(b"newer")
    second = attempt(store, 1)
    assert second.read() == b"newer"
    named = second.restore(tmp_path / "named", checkpoint=older.reference)
    assert named == second.restore() == tmp_path / "named"
    assert second.read() == b"older"
    assert attempt(store, 2).read() == b"newer"


def test_a_named_checkpoint_that_is_not_to_be_had_is_an_error(store: FaultyStore) -> None:
    attempt(store, 0).write(b"state")
    with pytest.raises(ckptptr.NotFoundError):
        attempt(store, 1).restore(checkpoint="0000000007-a0000-abcdefgh")


def test_threads_that_come_at_once_open_it_once(store: FaultyStore) -> None:
    shared, together = attempt(store, 0), threading.Barrier(8)

    def use(_: int) -> Checkpoints:
        together.wait()
        return shared.checkpoints

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(use, range(8)))) == 1


def test_what_another_attempt_may_cure_is_recoverable_and_still_our_error() -> None:
    store = FaultyStore(MemoryStore(), [Fault(op="read", error=errors.AccessDeniedError("no", key="k"))])
    with pytest.raises(ckptptr.AccessDeniedError) as caught:
        attempt(store, 0).read()
    assert isinstance(caught.value, FlyteRecoverableException)


@pytest.mark.parametrize("kind", _RECOVERABLE)
def test_a_recoverable_error_keeps_its_words_and_survives_pickling(kind: type[errors.CkptptrError]) -> None:
    with pytest.raises(kind) as caught, recoverable():
        raise kind("it happened", key="s3://b/LATEST", hint="Do this")
    assert isinstance(caught.value, FlyteRecoverableException)
    assert str(caught.value) == "it happened: s3://b/LATEST. Do this"
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


@pytest.mark.parametrize("kind", [errors.DamagedError, errors.InvalidArgumentError])
def test_what_no_attempt_will_cure_is_not_retried(kind: type[errors.CkptptrError]) -> None:
    with pytest.raises(kind) as caught, recoverable():
        raise kind("it happened")
    assert not isinstance(caught.value, FlyteRecoverableException)


def public(kind: type) -> dict[str, object]:
    ours = [vars(base) for base in reversed(kind.mro()) if base.__module__.startswith("ckptptr")]
    return {name: value for of in ours for name, value in of.items() if not name.startswith("_")}


def test_it_has_all_of_checkpoints_but_close_which_is_for_flytekit_to_do() -> None:
    assert public(Checkpoints).keys() - public(PointerCheckpoint).keys() == {"close"}


@pytest.mark.parametrize("name", sorted({*public(Checkpoints)} - {"close"}))
def test_its_methods_take_what_those_of_checkpoints_take(name: str) -> None:
    theirs, ours = public(Checkpoints)[name], public(PointerCheckpoint)[name]
    if isinstance(theirs, property):
        assert isinstance(ours, property)
        return
    renamed = {"content": "cp"} if name == "save" else {}
    expected = {
        renamed.get(key, key): p for key, p in signature(theirs).parameters.items() if key != "raises"
    }
    parameters = signature(ours).parameters
    assert [(key, p.kind, p.default) for key, p in parameters.items()] == [
        (key, p.kind, p.default) for key, p in expected.items()
    ]


def test_what_it_only_passes_on_does_what_checkpoints_do(store: FaultyStore, tmp_path: Path) -> None:
    first = attempt(store, 0)
    assert (first.attempt, first.latest) == (0, None)
    (tmp_path / "model").write_text("weights")
    added = first.add(tmp_path / "model", step=7)
    first.pin(added.reference, note="keep")
    assert first.latest == first.history()[0]
    assert first.latest.pinned
    first.unpin(added.reference)
    assert not first.history()[0].pinned
    found = attempt(store, 1).look().found
    assert found is not None
    assert found.reference == added.reference


def test_a_step_is_restored_also_after_another_and_stays_the_one(store: FaultyStore) -> None:
    first = attempt(store, 0)
    for step in (1, 2):
        first.save(f"state {step}".encode(), step=step)
    second = attempt(store, 1)
    assert second.read() == b"state 2"
    assert second.restore(step=1) == second.restore()
    assert second.read() == b"state 1"


@pytest.mark.parametrize("use", ["attempt", "resolution", "latest", "look", "history"])
def test_a_store_that_does_not_answer_is_recoverable_whatever_is_asked(use: str) -> None:
    def opening() -> Checkpoints:
        raise errors.StoreUnavailableError("no answer")

    with pytest.raises(FlyteRecoverableException):
        methodcaller(use)(PointerCheckpoint("memory://b/run/attempts/0", None, opening))
