from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable

import pytest

from ckptptr.transfer import progress
from ckptptr.transfer.progress import Progress

MIB = 1 << 20
GIB = 1 << 30


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets seconds pass."""
    now = 100.0

    def pass_by(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    return pass_by


def test_a_pod_logs_a_line_now_and_then(
    wait: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "ckptptr"), Progress("saving", GIB) as moving:
        for _ in range(64):
            wait(0.5)
            moving.add(16 * MIB)
    assert [record.getMessage() for record in caplog.records] == [
        "saving: 31 % of 1.0 GiB, 32.0 MiB/s",
        "saving: 62 % of 1.0 GiB, 32.0 MiB/s",
        "saving: 93 % of 1.0 GiB, 32.0 MiB/s",
    ]


def test_what_is_quick_is_not_mentioned(
    wait: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "ckptptr"), Progress("saving", GIB) as moving:
        wait(9)
        moving.add(GIB)
    assert caplog.records == []


def test_a_terminal_shows_a_bar_and_clears_it(
    wait: Callable[[float], None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with caplog.at_level(logging.INFO, "ckptptr"), Progress("restoring", GIB) as moving:
        moving.add(MIB)
        assert terminal.getvalue() == ""  # it may be over at once
        wait(2)
        moving.add(512 * MIB)
        moving._bar.refresh()
        assert "restoring" in terminal.getvalue()
        assert "GiB" in terminal.getvalue()
    assert caplog.records == []
    moving.add(MIB)  # a thread that is late


def test_a_terminal_that_wants_no_warnings_shows_nothing(
    wait: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    logger = logging.getLogger("ckptptr")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with Progress("restoring", GIB) as moving:
            wait(60)
            moving.add(MIB)
    finally:
        logger.setLevel(level)
    assert terminal.getvalue() == ""
