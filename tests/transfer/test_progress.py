from __future__ import annotations

import io
import logging
import sys
import threading

import pytest

from ckptptr.transfer.progress import Counting, Progress

MIB = 1 << 20
GIB = 1 << 30


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Seconds pass when it is told so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_pod_logs_a_line_now_and_then(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ckptptr"), Progress("saving", GIB, clock=clock) as moving:
        for _ in range(64):
            clock.wait(0.5)
            moving.add(16 * MIB)
    assert [record.getMessage() for record in caplog.records] == [
        "saving: 31 % of 1.0 GiB, 32.0 MiB/s",
        "saving: 62 % of 1.0 GiB, 32.0 MiB/s",
        "saving: 93 % of 1.0 GiB, 32.0 MiB/s",
    ]


@pytest.mark.parametrize(("total", "said"), [(None, "2,500"), (9000, "2,500 of 9,000")])
def test_objects_are_counted_also_where_it_is_unknown_how_many_there_are(
    total: int | None,
    said: str,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with caplog.at_level(logging.INFO, "ckptptr"), Counting("listing", total, clock=clock) as listing:
        clock.wait(10)
        listing.add(2500)
    assert [record.getMessage() for record in caplog.records] == [f"listing: {said} objects, 250/s"]
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with Counting("listing", total, at_once=True, clock=clock) as listing:
        clock.wait(1)
        listing.add(2500)
    assert f"{said} objects" in terminal.getvalue()


def test_what_is_quick_is_not_mentioned(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ckptptr"), Progress("saving", GIB, clock=clock) as moving:
        clock.wait(9)
        moving.add(GIB)
    assert caplog.records == []


def test_a_terminal_shows_a_bar_and_clears_it(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with caplog.at_level(logging.INFO, "ckptptr"), Progress("restoring", GIB, clock=clock) as moving:
        moving.add(MIB)
        assert terminal.getvalue() == ""  # it may be over at once
        clock.wait(2)
        threads = set(threading.enumerate())
        moving.add(512 * MIB)
        assert set(threading.enumerate()) <= threads  # there may be none to have
        assert "restoring" in terminal.getvalue()
        assert "GiB" in terminal.getvalue()
    assert caplog.records == []
    moving.add(MIB)  # a thread that is late


def test_a_terminal_that_wants_no_warnings_shows_nothing(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    logger = logging.getLogger("ckptptr")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with Progress("restoring", GIB, clock=clock) as moving:
            clock.wait(60)
            moving.add(MIB)
    finally:
        logger.setLevel(level)
    assert terminal.getvalue() == ""
