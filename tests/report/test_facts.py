"""What a report says of a node: from the store alone, looked at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from ckptptr.errors import StoreUnavailableError
from ckptptr.protocol.latest import Latest
from ckptptr.report.facts import Live, Report, gather
from ckptptr.testing import Fault, FaultyStore
from ckptptr.wording import date, span
from tests.report import stories
from tests.report.stories import Story


def told(report: Report) -> list[str]:
    """Each attempt in a line."""
    return ["; ".join([f"{attempt.number} {attempt.words}", *attempt.reasons]) for attempt in report.attempts]


def test_each_attempt_says_what_it_resumed_from_and_why(tmp_path: Path) -> None:
    assert told(gather(stories.forty(tmp_path).here(6))) == [
        "0 started fresh",
        "1 left nothing that is there",
        "2 left nothing that is there",
        "3 resumed from step 1000 of attempt 0; nothing of attempts 1 and 2 is there",
        "4 resumed from step 1900 of attempt 3; newer, and not used: step 2000 of attempt 3 (damaged)",
        "5 resumed from step 1400 of attempt 3; newer, and not used: step 2700 of attempt 4,"
        " step 2600 of attempt 4, step 2500 of attempt 4 and 12 more",
        "6 would resume from step 2200; a person chose it, with `ckptptr use`",
    ]


def test_what_was_resumed_from_is_named_also_where_retention_has_deleted_it(tmp_path: Path) -> None:
    report = gather(stories.retained(tmp_path).here(4))
    assert told(report)[2] == "2 resumed from save 4 of attempt 0 (deleted); nothing of attempt 1 is there"
    assert [origin.is_there for origin in report.attempts[2].origins] == [False]


def test_an_empty_node_starts_fresh(tmp_path: Path) -> None:
    report = gather(Story(tmp_path).here(0))
    assert report.headline == "The next attempt starts fresh."
    assert told(report) == ["0 would start fresh; nothing that can be restored was found"]
    assert report.checkpoints == []


def test_the_time_between_saves_is_the_median(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.attempt(0, 1, 2, 3, every=10)
    story.pass_time(minutes=500)
    assert gather(story.here(1)).attempts[0].every == 600


def test_payload_without_a_manifest_is_unfinished(tmp_path: Path) -> None:
    (unfinished,) = gather(stories.forty(tmp_path).here(6)).unfinished
    assert (unfinished.id, unfinished.attempt, unfinished.bytes) == ("0000000099-a0005-killed99", 5, 700)


def test_each_object_is_read_once_and_none_is_written(tmp_path: Path) -> None:
    story = stories.forty(tmp_path)
    here = story.here(6)
    store = FaultyStore(here.store, ())
    gather(replace(here, store=store, latest=Latest(store, here.node.prefix, here.clock, "")))
    asked = Counter((request.op, request.key) for request in store.log)
    assert {op for op, _ in asked} == {"read", "list"}
    assert max(asked.values()) == 1


def test_no_more_manifests_are_read_than_was_said_the_newest(tmp_path: Path) -> None:
    story = stories.two_hundred(tmp_path)
    here = story.here(11)
    store = FaultyStore(here.store, ())
    report = gather(
        replace(here, store=store, latest=Latest(store, here.node.prefix, here.clock, "")),
        live=Live(None),
        most=20,
    )
    read = [request.key for request in store.log if request.op == "read" and "/manifests/" in request.key]
    assert report.left_out == 180
    assert [item.seq for item in report.checkpoints] == [*range(200, 180, -1)]
    assert report.attempts[0].words == "left nothing that is shown"
    assert report.attempts[10].words == "resumed from save 168 of attempt 9 (not shown)"
    assert len(read) == 20


def test_a_store_that_does_not_answer_is_an_error_and_not_an_empty_page(tmp_path: Path) -> None:
    here = stories.three(tmp_path).here(1)
    store = FaultyStore(here.store, [Fault("fail", op="list", times=100)])
    with pytest.raises(StoreUnavailableError):
        gather(replace(here, store=store))


def test_an_attempt_that_looks_at_itself_says_how_long_its_saves_took(tmp_path: Path) -> None:
    story = stories.three(tmp_path)
    process = story.attempt(1, 400, 500)
    session = process.checkpoints._session
    live = Live(process.resolution, session.restored_in, session.saves, dict(session.saved_in))
    report = gather(story.here(1), live=live)
    assert report.headline.startswith("Attempt 1 resumed from step 300 of attempt 0 in ")
    assert report.headline.endswith(", and saved 2 checkpoints.")
    assert [attempt.role for attempt in report.attempts] == ["past", "this", "next"]
    assert report.attempts[1].reasons == ["found in LATEST"]
    took = {item.step: item.saved_in for item in report.checkpoints}
    assert took[500] is not None
    assert took[500] > 0
    assert took[300] is None


def test_an_attempt_that_looks_at_itself_tells_what_it_rejected(tmp_path: Path) -> None:
    story = stories.three(tmp_path)
    story.damage(story.saved[300])
    process = story.attempt(1, 300)
    this = gather(story.here(1), live=Live(process.resolution)).attempts[1]
    assert this.words == "resumed from step 200 of attempt 0"
    assert this.reasons[0] == "found in the history of LATEST"
    assert "was not used: the manifest does not have the checksum" in this.reasons[1]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.0004, "1 ms"),
        (0.012, "12 ms"),
        (2.14, "2.1 s"),
        (34, "34 s"),
        (119.9, "120 s"),
        (34 * 60, "34 min"),
        (7200, "2 h"),
        (12000, "3 h 20 min"),
        (7199.9, "120 min"),
        (52 * 3600, "2 d 4 h"),
        (48 * 3600 - 1, "48 h"),
    ],
)
def test_spans_of_time_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_what_is_no_time_is_printed_as_it_is() -> None:
    assert (date("2026-11-04T03:20:05Z"), date("soon"), date(None)) == (
        "4 Nov 2026, 03:20:05",
        "soon",
        "unknown",
    )
