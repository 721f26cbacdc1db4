"""Saves that nobody waits for."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ckptptr.errors import StoreUnavailableError
from ckptptr.session.background_saves import Asynchronous
from ckptptr.session.content import Change, change_of
from ckptptr.session.snapshot import Snapshot, snapshot


class Saver:
    """Saves as slowly as the test says, and fails when it says so."""

    def __init__(self) -> None:
        self.saved: list[tuple[int | None, dict[str, bytes]]] = []
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()
        self.failure: Exception | None = None

    def __call__(self, change: Change, step: int | None, _: dict[str, Any]) -> str:
        self.has_begun.set()
        assert self.may_go_on.wait(10)
        if self.failure:
            raise self.failure
        files = change.files
        self.saved.append(
            (
                step,
                {
                    p: f.source if isinstance(f.source, bytes) else Path(f.source).read_bytes()
                    for p, f in files.items()
                },
            )
        )
        return f"checkpoint {step}"


@pytest.fixture
def saver() -> Saver:
    return Saver()


@pytest.fixture
def saves(saver: Saver) -> Asynchronous[str]:
    return Asynchronous(saver)


def of(content: Any) -> Snapshot:
    return snapshot(change_of(content), consume=False)


def test_a_save_returns_at_once_and_is_made_all_the_same(saves: Asynchronous[str], saver: Saver) -> None:
    done = saves.submit(of(b"state"), 1, {})
    assert saver.has_begun.wait(10)
    assert not done.done()
    saver.may_go_on.set()
    assert done.result(10) == "checkpoint 1"
    assert saver.saved == [(1, {"_dst_cp": b"state"})]


def test_the_newest_of_those_that_wait_wins(saves: Asynchronous[str], saver: Saver) -> None:
    futures = [saves.submit(of(b"1"), 1, {})]
    assert saver.has_begun.wait(10)
    futures += [saves.submit(of(str(step).encode()), step, {}) for step in (2, 3, 4)]
    saver.may_go_on.set()
    assert saves.wait()
    assert [step for step, _ in saver.saved] == [1, 4]
    assert [future.result(0) for future in futures] == ["checkpoint 1", *["checkpoint 4"] * 3]


def test_files_that_are_added_one_by_one_are_all_in_the_one_save_that_they_become(
    saves: Asynchronous[str], saver: Saver, tmp_path: Path
) -> None:
    saves.submit(of(b"1"), 1, {})
    assert saver.has_begun.wait(10)
    (tmp_path / "state").mkdir()
    for name in ("model", "optimizer"):
        (tmp_path / "state" / name).write_text(name)
        saves.submit(of(tmp_path / "state" / name), 2, {})
    saver.may_go_on.set()
    assert saves.wait()
    assert saver.saved[1:] == [(2, {"model": b"model", "optimizer": b"optimizer"})]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".ckptptr-")] == []


def test_a_failure_is_raised_by_the_next_call_once_and_by_the_future(
    saves: Asynchronous[str], saver: Saver
) -> None:
    saver.failure = StoreUnavailableError("the store is gone")
    saver.may_go_on.set()
    done = saves.submit(of(b"1"), 1, {})
    assert saves.wait()
    with pytest.raises(StoreUnavailableError):
        saves.submit(of(b"2"), 2, {})
    assert isinstance(done.exception(0), StoreUnavailableError)
    saver.failure = None
    assert saves.submit(of(b"3"), 3, {}).result(10) == "checkpoint 3"
    assert saver.saved == [(3, {"_dst_cp": b"3"})]


def test_what_was_given_away_is_back_when_it_could_not_be_saved(
    saves: Asynchronous[str], saver: Saver, tmp_path: Path
) -> None:
    file = tmp_path / "model"
    file.write_text("state")
    saver.failure = StoreUnavailableError("the store is gone")
    done = saves.submit(snapshot(change_of(file), consume=True), 1, {})
    assert not file.exists()
    saver.may_go_on.set()
    assert done.exception(10) is saver.failure
    saves.wait()
    assert file.read_text() == "state"


def test_a_failure_is_told_also_where_what_was_given_away_is_gone(
    saves: Asynchronous[str], saver: Saver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "model"
    file.write_text("state")
    saver.failure = StoreUnavailableError("the store is gone")
    taken = snapshot(change_of(file), consume=True)
    shutil.rmtree(taken.folders[0].path)  # as a cleaner of the temporary folder does
    done = saves.submit(taken, 1, {})
    saver.may_go_on.set()
    assert done.exception(10) is saver.failure
    saves.wait()
    with pytest.raises(StoreUnavailableError):
        saves.raise_failure()
    assert "neither be put back nor kept" in caplog.text


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_signal_interrupts_around_the_start_of_the_thread_is_saved_once(
    saves: Asynchronous[str], saver: Saver, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    start = threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        monkeypatch.undo()
        if when == "after":
            start(thread)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        saves.submit(of(b"1"), 1, {})
    saver.may_go_on.set()
    assert saves.wait(until=time.monotonic() + 10)
    assert [step for step, _ in saver.saved] == [1]


def test_a_wait_with_an_end_says_whether_all_is_done(saves: Asynchronous[str], saver: Saver) -> None:
    saves.submit(of(b"1"), 1, {})
    assert not saves.wait(until=time.monotonic())
    saver.may_go_on.set()
    assert saves.wait()


def test_a_future_cannot_be_cancelled_since_the_save_may_be_one_with_others(
    saves: Asynchronous[str], saver: Saver
) -> None:
    done = saves.submit(of(b"1"), 1, {})
    assert not done.cancel()
    saver.may_go_on.set()
    assert done.result(10) == "checkpoint 1"
