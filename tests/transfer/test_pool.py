from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import count

import pytest

from ckptptr.testing import Killed
from ckptptr.transfer import pool
from ckptptr.transfer.pool import run_all


def test_results_are_in_the_order_of_the_items() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    assert run_all(slow_first, range(20)) == [number * number for number in range(20)]


def test_nothing_to_do_is_done() -> None:
    assert run_all(str, []) == []


def test_one_item_needs_no_thread() -> None:
    assert run_all(lambda _: threading.current_thread(), [1]) == [threading.current_thread()]


def test_items_run_side_by_side_but_no_more_than_there_are_workers() -> None:
    meeting = threading.Barrier(3, timeout=5)
    threads = run_all(lambda _: (meeting.wait(), threading.current_thread())[1], range(9), workers=3)
    assert len(set(threads)) == 3


def test_where_no_thread_can_be_started_the_caller_does_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert run_all(lambda number: number * number, range(20)) == [number * number for number in range(20)]
    with pytest.raises(ZeroDivisionError):
        run_all(lambda number: 1 / number, range(20))


@pytest.mark.parametrize("error", [ValueError("x"), Killed()])
def test_the_first_failure_is_raised_and_what_has_not_begun_never_begins(error: BaseException) -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise error
        time.sleep(0.02)

    with pytest.raises(type(error)) as caught:
        run_all(work, range(1000), workers=2)
    assert caught.value is error
    assert len(begun) < 10


def test_of_several_failures_the_earliest_item_is_told() -> None:
    meeting = threading.Barrier(2, timeout=5)

    def fail(number: int) -> None:
        meeting.wait()
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        run_all(fail, range(2))


def test_nothing_is_left_running_after_a_failure() -> None:
    ended: list[int] = []
    meeting = threading.Barrier(2, timeout=5)

    def work(number: int) -> None:
        meeting.wait()
        if number == 0:
            raise ValueError
        time.sleep(0.05)
        ended.append(number)

    with pytest.raises(ValueError):  # noqa: PT011
        run_all(work, range(2))
    assert ended == [1]


def test_an_interrupted_caller_does_not_wait_for_what_has_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        time.sleep(0.02)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pool, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_all(work, range(1000), workers=2)
    assert len(begun) < 10


# More threads where these move more


class Link(threading.Event):
    """What that many threads move on it in a second is `pace`; its time passes while it is waited for."""

    def __init__(self, pace: Callable[[int], float], silent: float) -> None:
        super().__init__()
        self.pace, self.silent = pace, silent
        self.time = self.moved = 0.0
        self.threads = 4
        self.steps = [self.threads]

    def monotonic(self) -> float:
        return self.time

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout
        self.time += timeout
        if self.time > self.silent:
            self.moved += timeout * self.pace(self.threads)
        return self.time > 5

    def start(self, count: int) -> None:
        if self.time <= 5:
            self.threads = count
            self.steps.append(count)


@pytest.mark.parametrize(
    ("pace", "silent", "steps"),
    [
        (lambda threads: threads * 1000, 0.0, [4, 8, 32, 64]),  # each connection is slow
        (lambda threads: threads**0.6 * 1000, 0.0, [4, 8, 16, 32, 64]),  # and the link begins to fill
        (lambda _: 5000, 0.0, [4, 8]),  # the link is full
        (lambda threads: 5000 - 100 * threads, 0.0, [4, 8]),  # or the CPU
        (lambda threads: threads * 1000, 0.02, [4, 32, 64]),  # the first answers are late
        (lambda threads: threads * 1000, 0.3, [4, 32, 64]),  # or very late
        (lambda threads: threads**0.6 * 1000, 0.3, [4, 32, 64]),
        (lambda _: 5000, 0.3, [4, 32, 64]),  # the first doubling is tried whatever the link is
    ],
)
def test_there_are_many_threads_only_where_more_have_moved_more(
    monkeypatch: pytest.MonkeyPatch, pace: Callable[[int], float], silent: float, steps: list[int]
) -> None:
    link = Link(pace, silent)
    monkeypatch.setattr(pool, "time", link)
    pool._add(link.start, 4, 64, pool._Moving(lambda: int(link.moved), link, 0.1))
    assert link.steps == steps


def test_threads_that_are_added_help_with_the_items() -> None:
    meeting = threading.Barrier(6, timeout=60)
    more = (10**power for power in count())  # always more than at the last look
    run_all(lambda _: meeting.wait(), range(6), workers=2, most=6, moved=lambda: next(more), look=0.001)
