"""Work that nobody waits for: one piece at a time, and a failure is a log line."""

from __future__ import annotations

import logging
import threading

import pytest

from ckptptr.errors import StoreUnavailableError
from ckptptr.lifetime.background import Background


def test_work_is_done_in_order_in_one_other_thread_and_can_be_waited_for() -> None:
    background = Background()
    threads: list[threading.Thread] = []
    done: list[int] = []
    for number in range(5):
        background.run("counting", lambda number=number: done.append(number))  # type: ignore[misc]
        background.run("looking", lambda: threads.append(threading.current_thread()))
    background.wait()
    assert done == [0, 1, 2, 3, 4]
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()
    background.close()


def test_a_failure_is_a_warning_and_the_next_piece_of_work_is_done(caplog: pytest.LogCaptureFixture) -> None:
    background = Background()
    done = threading.Event()

    def fail() -> None:
        raise StoreUnavailableError("no answer")

    with caplog.at_level(logging.WARNING, "ckptptr"):
        background.run("sweep", fail)
        background.run("next", done.set)
        background.wait()
    assert done.is_set()
    assert "the sweep failed and will be done another time: no answer" in caplog.text
    background.close()


def test_closing_waits_and_what_was_closed_can_be_used_again() -> None:
    background = Background()
    done: list[str] = []
    for name in ("first", "second"):
        background.run(name, lambda name=name: done.append(name))  # type: ignore[misc]
        background.close()
    background.close()
    assert done == ["first", "second"]


def test_a_thread_is_started_only_when_there_is_work() -> None:
    before = set(threading.enumerate())
    background = Background()
    background.wait()
    background.close()
    assert set(threading.enumerate()) <= before
