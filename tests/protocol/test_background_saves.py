"""`save(block=False)`: the caller goes on, and the checkpoint is confirmed all the same."""

from __future__ import annotations

import threading

import pytest

from ckptptr.errors import InvalidArgumentError, StoreUnavailableError, SupersededError
from ckptptr.testing import Fault
from tests.helpers import Process, World


class Gate:
    """Holds back the uploads of a process until it is opened."""

    def __init__(self, process: Process) -> None:
        self.is_reached, self._open = threading.Event(), threading.Event()
        process.before("upload", "", self._wait)

    def _wait(self) -> None:
        self.is_reached.set()
        assert self._open.wait(10)

    def open(self) -> None:
        self._open.set()


def test_it_returns_before_anything_is_sent_and_what_changes_then_is_not_in_it(world: World) -> None:
    run = world.process(0)
    gate, folder = Gate(run), world.folder({"model": "1"})
    saved = run.checkpoints.save(folder, step=1, block=False)
    assert gate.is_reached.wait(10)
    (folder / "model").write_text("changed")
    assert not saved.done()
    gate.open()
    assert saved.result(10).step == 1
    assert world.process(1).restore() == {"model": "1"}


def test_files_that_are_given_away_are_gone_at_once(world: World) -> None:
    run, folder = world.process(0), world.folder({"model": "1"})
    saved = run.checkpoints.save(folder / "model", block=False, consume=True)
    assert not (folder / "model").exists()
    assert saved.result(10).bytes == 1


def test_whatever_comes_next_waits_for_it(world: World) -> None:
    run = world.process(0)
    for act in (
        lambda: run.save({"model": "2"}, step=2),
        run.restore,
        lambda: run.checkpoints.open("model"),
        run.checkpoints.wait,
        run.checkpoints.close,
    ):
        saved = run.checkpoints.save(world.folder({"model": "1"}), step=1, block=False)
        act()
        assert saved.done()
    assert world.steps()[:2] == [1, 1]


def test_a_failure_is_raised_by_the_next_call_and_the_save_is_not_taken_for_done(world: World) -> None:
    run = world.process(0, Fault(op="upload"))
    saved = run.checkpoints.save(world.folder({"model": "1"}), step=1, block=False)
    assert isinstance(saved.exception(10), StoreUnavailableError)
    with pytest.raises(StoreUnavailableError):
        run.save({"model": "2"}, step=2)
    run.save({"model": "3"}, step=3)
    assert world.steps() == [3]


def test_wait_raises_it_too_and_only_once(world: World) -> None:
    run = world.process(0, Fault(op="upload"))
    run.checkpoints.save(b"1", block=False)
    with pytest.raises(StoreUnavailableError):
        run.checkpoints.wait()
    run.checkpoints.wait()


def test_a_zombie_hears_of_it_at_its_next_call(world: World) -> None:
    zombie = world.process(0)
    zombie.restore()
    world.process(1).save({"model": "1"})
    zombie.checkpoints.save(b"2", block=False)
    with pytest.raises(SupersededError):
        zombie.checkpoints.wait()


def test_a_save_that_somebody_waits_for_gives_no_files_away(world: World) -> None:
    folder = world.folder({"model": "1"})
    with pytest.raises(InvalidArgumentError, match="block=False"):
        world.process(0).checkpoints.save(folder, consume=True)  # type: ignore[call-overload]
    assert (folder / "model").exists()


def test_a_deadline_that_is_no_number_is_refused_when_the_checkpoints_are_opened(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPTPTR_EXIT_DEADLINE", "soon")
    with pytest.raises(InvalidArgumentError, match="CKPTPTR_EXIT_DEADLINE is 'soon'"):
        world.process(0)
