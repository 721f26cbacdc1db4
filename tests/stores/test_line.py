"""How much goes at once on a line, and for how long it is waited for."""

from __future__ import annotations

import asyncio
import math
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ckptptr.errors import StoreUnavailableError
from ckptptr.stores.line import IN_TIME, SLOWEST, Line, OverdueError

MIB = 1024 * 1024
PART = 8 * MIB


class Seconds:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def at_once(line: Line) -> int:
    """How many parts of 8 MiB go, of sixteen."""
    with line.taken(PART, 16) as parts:
        return parts


def test_all_goes_at_once_until_something_was_late() -> None:
    line = Line(30.0)
    assert at_once(line) == 16
    line.took(IN_TIME - 1, 16 * PART)
    assert at_once(line) == 16


@pytest.mark.parametrize(("rate", "parts"), [(0.05 * MIB, 1), (0.5 * MIB, 3), (MIB, 7), (2 * MIB, 15)])
def test_after_something_late_as_much_goes_as_arrives_in_time(rate: float, parts: int) -> None:
    line = Line(30.0)
    for _ in range(3):
        under_way = at_once(line) * PART
        line.took(under_way / rate, under_way)
        assert at_once(line) == parts


def test_a_line_that_is_fast_again_is_full_again_with_the_next_arrival() -> None:
    line = Line(30.0)
    line.took(128.0, 16 * PART)
    assert at_once(line) == 7
    line.took(0.3, PART)
    assert at_once(line) == 16


def test_many_connections_that_are_slow_only_each_stay_many() -> None:
    line = Line(30.0)
    for _ in range(5):
        line.took(8.0, at_once(line) * PART)  # 1 MiB/s each
        line.took(8.0, PART)
        assert at_once(line) == 16


def test_an_upload_waits_while_too_much_is_under_way_and_one_always_goes() -> None:
    line = Line(30.0)
    line.took(600.0, 10 * PART)  # one part in a minute
    with ThreadPoolExecutor(1) as pool:
        with line.taken(3 * PART):
            waits = pool.submit(line.take, 1)
            time.sleep(0.05)
            assert not waits.done()
        waits.result(5)


def test_patience_is_that_of_the_slowest_line_until_something_arrives_meanwhile() -> None:
    seconds = Seconds()
    line = Line(30.0, timer=seconds)
    slowest = 30.0 + 16 * PART / SLOWEST
    with line.taken(PART, 16):
        assert line.patience(0.0) == slowest
        seconds.now += 1.0
        line.took(1.0, 16 * PART)
        assert line.patience(0.0) == pytest.approx(30.0 + 4.0)
        assert line.patience(1.0) == slowest
        line.took(math.inf, PART)
        assert line.patience(0.0) == slowest


def test_what_others_overtook_is_overdue_and_cancelled() -> None:
    seconds, cancelled = Seconds(), []

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def answers() -> None:
        pass

    async def scene() -> None:
        line = Line(0.05, timer=seconds)
        with line.taken(PART, 2):
            waits = asyncio.ensure_future(line.sent(PART, never(), answers))
            await asyncio.sleep(0.1)
            seconds.now += 10.0
            line.took(1.0, 2 * PART)
            with pytest.raises(OverdueError, match="nothing in 10 s, with 16 MiB under way at once"):
                await waits

    asyncio.run(scene())
    assert cancelled


def test_a_store_that_gives_no_sign_ends_the_wait() -> None:
    async def silent() -> None:
        raise StoreUnavailableError("no answer")

    async def scene() -> None:
        line = Line(0.05)
        with line.taken(PART), pytest.raises(StoreUnavailableError, match="no answer"):
            await line.sent(PART, asyncio.Event().wait(), silent)

    asyncio.run(scene())
