"""How things are worded and kept harmless."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ckptptr import wording
from ckptptr.wording import first_few, printable, utc, when


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (timedelta(seconds=5), "just now"),
        (timedelta(seconds=-5), "just now"),
        (timedelta(minutes=1), "1 minute ago"),
        (timedelta(minutes=59, seconds=59), "59 minutes ago"),
        (timedelta(hours=3), "3 hours ago"),
        (timedelta(days=1, hours=5), "1 day ago"),
        (timedelta(days=400), "400 days ago"),
        (timedelta(hours=-2), "in the future"),
    ],
)
def test_an_age_in_words(passed: timedelta, words: str) -> None:
    assert wording.age(passed.total_seconds()) == words


def test_a_moment_that_is_none_is_shown_as_it_is() -> None:
    now = datetime(2026, 11, 23, 18, tzinfo=timezone.utc)
    assert when("2026-11-23T15:20:05Z", now) == "2 hours ago, 2026-11-23 15:20:05 UTC"
    assert when("yesterday", now) == "yesterday"
    assert utc(None) == "-"


def test_control_characters_are_written_out() -> None:
    assert printable("a\x1b[2Jb\n\u202ec é") == "a\\x1b[2Jb\\n\\u202ec é"


def test_a_long_list_says_how_much_more_there_is() -> None:
    assert first_few(["x"] * 20) == ["x"] * 20
    assert first_few(["x"] * 22)[20:] == ["... and 2 more"]
