"""The layout of the picture: lanes, dots, arrows, labels and the axis, in units of the SVG.

A lane is an attempt, the oldest at the top. Time runs from left to right, but not to scale: half a
second between two saves must be visible beside a weekend between two attempts. So each dot is a bit
further right than the one before, and time shares the remaining room. If the dots need all the room,
only their order is drawn. A wrong clock of a pod can stretch the picture, but hides no dot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import sqrt
from typing import Literal

from ckptptr.inspect.sentences import in_words, short_reference
from ckptptr.protocol.names import CheckpointId
from ckptptr.report.attempts import AttemptSummary, ResumedFrom, Shown, View, named
from ckptptr.report.facts import Report, Uncommitted
from ckptptr.wording import counted, moment, size, span

WIDTH = 1000.0
LEFT, RIGHT = 222.0, 860.0
NEXT = 950.0
TOP = 14.0
LANE, EMPTY_LANE, AXIS = 62.0, 36.0, 40.0
_GAP = 24.0
_CHARACTER, _STRONG = 6.4, 7.2
"""The width of a character of a label, or a bit more."""

Kind = Literal["target", "history", "unnamed", "doomed", "damaged", "gone", "unfinished", "next"]
Shape = Literal["circle", "diamond", "square"]


@dataclass(slots=True)
class Dot:
    """One mark. `label` is drawn above it if there is room; that of the target always is."""

    reference: str
    kind: Kind
    lane: int | None
    age: tuple[int, int]
    name: str
    shape: Shape = "circle"
    is_pinned: bool = False
    shown: Shown | None = None
    bytes: int = 0
    time: float | None = None
    label: str = ""
    x: float = 0.0
    y: float = 0.0
    r: float = 0.0


@dataclass(frozen=True, slots=True)
class Lane:
    """One attempt, or several in a row that left nothing. `y` is the middle."""

    title: str
    subtitle: str
    y: float
    height: float
    is_empty: bool


@dataclass(frozen=True, slots=True)
class Arrow:
    """From a restored checkpoint to the first one that the attempt saved."""

    start: Dot
    end: Dot
    is_copy: bool


@dataclass(frozen=True, slots=True)
class Label:
    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything in the picture, except colours and forms."""

    height: float
    lanes: list[Lane]
    dots: list[Dot]
    arrows: list[Arrow]
    spans: list[Label]
    """The time from one save to the next."""
    ticks: list[Label]


def lay_out(report: Report) -> Layout:
    """Place everything."""
    dots = _dots(report)
    by_reference = {dot.reference: dot for dot in dots}
    _tell_times(dots)
    dots.sort(key=lambda dot: (dot.time or 0.0, dot.age))
    _place_in_time(dots)
    lanes, bottom = _lanes(report, dots)
    last = report.attempts[-1]
    following = Dot(
        "next", "next", last.number, (last.number, 0), "the next attempt", x=NEXT, y=lanes[-1].y, r=8
    )
    arrows = [*_arrows(report.attempts, by_reference, following)]
    spans = [label for _, lane in _by_lane(dots) for label in _label(lane)]
    ticks = [*_ticks([dot for dot in dots if dot.shown and dot.shown.created_at], bottom)]
    return Layout(bottom + AXIS, lanes, [*dots, following], arrows, spans, ticks)


def _dots(report: Report) -> list[Dot]:
    dots = [_of_checkpoint(item) for item in report.checkpoints]
    dots += [_of_unfinished(item) for item in report.unfinished]
    known = {dot.reference for dot in dots}
    for attempt in report.attempts:
        for origin in attempt.origins:
            if origin.reference not in known:
                known.add(origin.reference)
                dots.append(_of_missing(origin, report))
    return dots


def _of_checkpoint(item: Shown) -> Dot:
    shape: Shape = "square" if item.id is None else "diamond" if item.copied_from else "circle"
    words = [in_words(item).removeprefix("step ")]
    words += ["LATEST, held" if item.held else "LATEST"] if item.state == "target" else []
    words += ["damaged"] if item.problem else []
    words += ["pinned"] if item.pinned else []
    when = moment(item.created_at or item.published_at)
    return Dot(
        item.checkpoint,
        "damaged" if item.problem else item.state,
        None if item.is_elsewhere else item.attempt,
        item.age,
        in_words(item),
        shape,
        item.pinned,
        item,
        item.bytes or 0,
        when.timestamp() if when else None,
        " · ".join(words),
    )


def _of_unfinished(item: Uncommitted) -> Dot:
    age = CheckpointId.parse(item.id)
    return Dot(
        item.id,
        "unfinished",
        item.attempt,
        (item.attempt, age.seq),
        f"save {age.seq}",
        bytes=item.bytes,
        label="unfinished",
    )


def _of_missing(origin: ResumedFrom, report: Report) -> Dot:
    """An attempt resumed from it, but it is deleted, or not among those that are shown."""
    checkpoint = CheckpointId.match(short_reference(origin.reference))
    is_ours = checkpoint is not None and not origin.is_elsewhere
    lane = checkpoint.attempt if checkpoint and is_ours else None
    age = (checkpoint.attempt, checkpoint.seq) if checkpoint and is_ours else (-1, -1)
    return Dot(
        origin.reference, "gone", lane, age, origin.words, label=View(not report.left_out and is_ours).missing
    )


def _tell_times(dots: Sequence[Dot]) -> None:
    """Give dots without a time that of the dot before, or else after."""
    told = sorted((dot for dot in dots if dot.time is not None), key=lambda dot: dot.age)
    for dot in dots:
        if dot.time is None:
            before = [other.time for other in told if other.age <= dot.age]
            after = [other.time for other in told if other.age > dot.age]
            dot.time = before[-1] if before else after[0] if after else 0.0


def _place_in_time(dots: Sequence[Dot]) -> None:
    count = len(dots)
    if not count:
        return
    width = RIGHT - LEFT
    gap = min(_GAP, width / max(1, count - 1))
    radius = min(9.5, max(3.2, gap * 0.42))
    smallest, largest = 0.55 if radius > 5 else 0.75, max(dot.bytes for dot in dots)
    began = dots[0].time or 0.0
    lasted = (dots[-1].time or 0.0) - began
    shared = width - gap * (count - 1)
    for place, dot in enumerate(dots):
        share = ((dot.time or 0.0) - began) / lasted if lasted > 0 else (place + 0.5) / count
        dot.x = LEFT + gap * place + shared * share
        dot.r = radius * (smallest + (1 - smallest) * sqrt(dot.bytes / largest)) if largest else radius


def _by_lane(dots: Iterable[Dot]) -> Iterable[tuple[int | None, list[Dot]]]:
    def lane(dot: Dot) -> int:
        return -1 if dot.lane is None else dot.lane

    return ((number, [*group]) for number, group in groupby(sorted(dots, key=lane), key=lane))


def _lanes(report: Report, dots: Sequence[Dot]) -> tuple[list[Lane], float]:
    """The lanes, with each dot in its own; and where the last one ends."""
    lanes: list[Lane] = []
    bottom = TOP
    inhabited = dict(_by_lane(dots))
    view = View(not report.left_out)

    def add(title: str, subtitle: str, height: float, residents: Sequence[Dot]) -> None:
        nonlocal bottom
        y = bottom + height / 2 + (6 if residents else 0)
        for dot in residents:
            dot.y = y
        lanes.append(Lane(title, subtitle, y, height, not residents))
        bottom += height

    if -1 in inhabited:
        add("Elsewhere", "another execution or node", LANE, inhabited[-1])

    def is_bare(attempt: AttemptSummary) -> bool:
        return attempt.role == "past" and attempt.number not in inhabited

    for bare, group in groupby(report.attempts, is_bare):
        attempts = [*group]
        if bare:
            title = named([attempt.number for attempt in attempts])
            add(title, f"nothing is {view.there}", EMPTY_LANE, ())
            continue
        for attempt in attempts:
            residents = inhabited.get(attempt.number, ())
            title = f"Attempt {attempt.number}" + {"this": ", this one", "next": ", the next"}.get(
                attempt.role, ""
            )
            add(
                title,
                _subtitle(attempt, view),
                LANE if residents or attempt.role == "next" else EMPTY_LANE,
                residents,
            )
    return lanes, bottom


def _subtitle(attempt: AttemptSummary, view: View) -> str:
    if attempt.role == "next":
        return attempt.words
    if not attempt.checkpoints:
        return f"nothing is {view.there}" if attempt.role == "past" else "has saved nothing"
    return f"{counted(attempt.checkpoints, 'checkpoint')}, {size(attempt.bytes)}"


def _arrows(attempts: Sequence[AttemptSummary], dots: dict[str, Dot], following: Dot) -> Iterable[Arrow]:
    for attempt in attempts:
        for origin in attempt.origins:
            start = dots.get(origin.reference)
            end = following if attempt.role == "next" else dots.get(origin.by or "")
            if start and end:
                yield Arrow(start, end, end.shape == "diamond")


def _label(lane: Sequence[Dot]) -> list[Label]:
    """Keep the labels that have room, the most important first. The spans that fit below."""
    taken: list[tuple[float, float]] = []
    for dot in sorted(
        lane, key=lambda dot: (*_urgency(dot), dot is not lane[-1], dot is not lane[0], -dot.x)
    ):
        half = len(dot.label) * (_STRONG if dot.kind in ("target", "damaged") else _CHARACTER) / 2 + 4
        here = (dot.x - half, dot.x + half)
        if any(here[0] < end and begin < here[1] for begin, end in taken):
            dot.label = ""
        else:
            taken.append(here)
    spans = []
    saves = [dot for dot in lane if dot.shown and dot.shown.created_at]
    for before, after in pairwise(saves):
        seconds = (after.time or 0.0) - (before.time or 0.0)
        text = span(seconds)
        if seconds > 0 and after.x - before.x > len(text) * _CHARACTER + before.r + after.r:
            spans.append(Label((before.x + after.x) / 2, before.y + 15, text))
    return spans


def _urgency(dot: Dot) -> tuple[bool, bool, bool]:
    return (dot.kind != "target", dot.kind != "damaged", not dot.is_pinned)


def _ticks(dots: Sequence[Dot], y: float) -> Iterable[Label]:
    """Times along the axis, where there is room. Each is the time of a dot."""
    seen, end = "", 0.0
    is_brief = bool(dots) and (dots[-1].time or 0.0) - (dots[0].time or 0.0) < 600
    for dot in dots:
        when = moment(dot.shown.created_at) if dot.shown else None
        if when is None:
            continue
        day, clock = f"{when.day} {when:%b}", f"{when:%H:%M:%S}" if is_brief else f"{when:%H:%M}"
        text = clock if day == seen else f"{day} {clock}"
        half = len(text) * _CHARACTER / 2
        if dot.x - half > end:
            yield Label(dot.x, y, text)
            seen, end = day, dot.x + half + 16
