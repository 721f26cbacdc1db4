"""The picture shows all there is, in every state, whatever the clocks said."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from ckptptr.report.facts import Report, gather
from ckptptr.report.layout import LEFT, RIGHT, Dot, lay_out
from ckptptr.report.picture import picture
from tests.helpers import FLYTE, World
from tests.report import stories
from tests.report.stories import Story

SVG = "{http://www.w3.org/2000/svg}"


def drawn(report: Report) -> ET.Element:
    return ET.fromstring(picture(report))  # noqa: S314 - our own


def titles(report: Report) -> list[str]:
    """What the marks say when they are pointed at."""
    return [mark.findtext(f"{SVG}title") or "" for mark in drawn(report).iter(f"{SVG}g") if is_dot(mark)]


def is_dot(element: ET.Element) -> bool:
    return element.get("class", "").startswith("dot ")


def dots(report: Report) -> list[Dot]:
    return [dot for dot in lay_out(report).dots if dot.kind != "next"]


def test_each_state_has_a_form_of_its_own_and_says_what_it_is(tmp_path: Path) -> None:
    story = stories.forty(tmp_path)
    report = gather(story.here(6))
    said = titles(report)
    assert any("step 2200" in title and "held, LATEST names it" in title for title in said)
    assert any("step 500" in title and "pinned, in the history" in title for title in said)
    assert any("step 2000" in title and "does not have the checksum" in title for title in said)
    assert any("unfinished save" in title for title in said)
    assert any("a copy of what was restored" in title for title in said)
    forms = {
        mark.get("class"): [child.tag.removeprefix(SVG) + str(child.get("class")) for child in mark]
        for mark in drawn(report).iter(f"{SVG}g")
        if is_dot(mark)
    }
    assert "circlering" in forms["dot target"]
    assert "pathcross" in forms["dot damaged"]
    assert "pathpin" in forms["dot history pinned"]
    assert "pathmark" in forms["dot unfinished"]


def test_what_retention_let_go_or_deleted_is_told_apart(tmp_path: Path) -> None:
    kinds = {dot.kind for dot in dots(gather(stories.retained(tmp_path).here(4)))}
    assert kinds == {"target", "history", "doomed", "gone"}


def test_an_arrow_leads_from_what_each_attempt_resumed_from(tmp_path: Path) -> None:
    arrows = [(a.start.name, a.end.name) for a in lay_out(gather(stories.forty(tmp_path).here(6))).arrows]
    assert arrows == [
        ("step 1000", "step 1100"),
        ("step 1900", "step 1900"),  # the copy that attempt 4 made of it
        ("step 1400", "step 1500"),
        ("step 2200", "the next attempt"),
    ]


def test_the_lanes_of_attempts_that_left_nothing_are_folded(tmp_path: Path) -> None:
    lanes = [lane.title for lane in lay_out(gather(stories.forty(tmp_path).here(6))).lanes]
    assert lanes == [
        "Attempt 0",
        "Attempts 1 and 2",
        "Attempt 3",
        "Attempt 4",
        "Attempt 5",
        "Attempt 6, the next",
    ]


def test_a_checkpoint_of_another_execution_has_a_lane_of_its_own(tmp_path: Path) -> None:
    story = stories.three(tmp_path)
    folder = "bucket/data/elsewhere"
    story.world.store.upload(f"{folder}/model.pt", [b"weights"])
    story.world.person().use("elsewhere")
    layout = lay_out(gather(story.here(1)))
    assert layout.lanes[0].title == "Elsewhere"
    (dot,) = [dot for dot in layout.dots if dot.lane is None]
    assert (dot.shape, dot.y) == ("square", layout.lanes[0].y)


def test_what_a_seed_from_elsewhere_was_is_not_drawn_as_one_of_ours(tmp_path: Path) -> None:
    story = Story(tmp_path, keep=1)
    other = World(tmp_path, FLYTE.replace("execution", "another"), beside=story.world)
    story.world.person().use(other.process(1).save({"a": "b"}, step=9).reference)
    story.attempt(0, 10, 11, 12, copies=False)
    story.attempt(1, 13, copies=False)
    report = gather(story.here(2))
    assert report.attempts[0].words.endswith("of another execution or node")
    assert report.attempts[0].reasons == []
    layout = lay_out(report)
    assert [lane.title for lane in layout.lanes][:2] == ["Elsewhere", "Attempt 0"]
    (seed,) = [dot for dot in layout.dots if dot.lane is None]
    assert (seed.kind, seed.y) == ("gone", layout.lanes[0].y)
    assert layout.arrows[0].start is seed


def test_with_time_between_them_dots_are_further_apart(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.attempt(0, 1, 2, every=1)
    story.attempt(1, 3, every=600)
    first, second, third = (dot.x for dot in dots(gather(story.here(2))) if dot.shape == "circle")
    assert 24 <= second - first < 40
    assert third - second > 400


@pytest.mark.parametrize("wrong", ["1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "no time at all"])
def test_wrong_clocks_stretch_the_picture_and_hide_nothing(wrong: str, tmp_path: Path) -> None:
    report = gather(stories.three(tmp_path).here(1))
    first, *others = report.checkpoints
    confused = msgspec.structs.replace(
        report, checkpoints=[msgspec.structs.replace(first, created_at=wrong, published_at=wrong), *others]
    )
    xs = sorted(dot.x for dot in dots(confused))
    assert len(xs) == 3
    assert xs[0] >= LEFT
    assert xs[-1] <= RIGHT + 0.01
    assert min(later - earlier for earlier, later in pairwise(xs)) >= 23.9


def test_all_at_the_same_second_are_still_apart(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.attempt(0, *range(10), every=0)
    xs = [dot.x for dot in dots(gather(story.here(1)))]
    assert len({round(x) for x in xs}) == 10


def test_a_larger_checkpoint_is_a_larger_dot_and_none_vanishes(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.attempt(0, 1, size=1)
    story.attempt(1, 2, size=1_000_000, copies=False)
    small, large = (dot.r for dot in dots(gather(story.here(2))))
    assert 4 < small < large < 12


def test_the_description_tells_it_to_those_who_cannot_see_it(tmp_path: Path) -> None:
    description = drawn(gather(stories.three(tmp_path).here(1))).findtext(f"{SVG}desc") or ""
    assert "The next attempt resumes from step 300." in description
    assert "Attempt 0 started fresh." in description


def test_the_node_without_a_checkpoint_has_a_picture_too(tmp_path: Path) -> None:
    report = gather(Story(tmp_path).here(3))
    assert [lane.title for lane in lay_out(report).lanes] == ["Attempts 0 to 2", "Attempt 3, the next"]
    assert titles(report) == ["the next attempt"]


def test_it_is_well_formed_also_with_markup_in_every_name(tmp_path: Path) -> None:
    here = stories.hostile(tmp_path).here(1)
    assert len(titles(gather(here))) >= 2
