"""The picture: one inline SVG, drawn from the facts.

Colour is never the only sign: each kind of mark has its own form, a title, and a line in the legend.
The colours are in `templates/style.css`.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET  # to write it, not to read

from ckptptr.report.attempts import Shown
from ckptptr.report.facts import Report
from ckptptr.report.layout import AXIS, LEFT, NEXT, WIDTH, Arrow, Dot, Kind, Layout, lay_out
from ckptptr.wording import date, size, span

_LEGEND_LINE = 22.0

_MEANINGS: dict[Kind, str] = {
    "target": "LATEST names it",
    "history": "in the history of LATEST",
    "unnamed": "LATEST does not name it",
    "doomed": "expired: released by retention",
    "damaged": "cannot be restored",
    "gone": "was resumed from, is not there now",
    "unfinished": "unfinished save, never restored",
}


def picture(report: Report, *, links: bool = False, key: str = "") -> str:
    """The SVG.

    Args:
        links: each checkpoint is a link to the element with its `row_id`.
        key: tells the ids of this picture from those of others on the page.
    """
    layout = lay_out(report)
    svg = ET.Element("svg", {"class": "picture", "role": "img", "xmlns": "http://www.w3.org/2000/svg"})
    svg.set("aria-labelledby", f"{key}ckptptr-title {key}ckptptr-desc")
    _add(svg, "title", id=f"{key}ckptptr-title").text = f"Checkpoints of {report.node}"
    _add(svg, "desc", id=f"{key}ckptptr-desc").text = _in_words(report)
    _draw_lanes(svg, layout)
    _draw_axis(svg, layout)
    for arrow in layout.arrows:
        _draw_arrow(svg, arrow)
    for label in layout.spans:
        _text(svg, "span", label.x, label.y, label.text)
    for dot in layout.dots:
        _draw_dot(svg, dot, links=links, key=key)
    svg.set("viewBox", f"0 0 {WIDTH:.0f} {_draw_legend(svg, layout):.0f}")
    return ET.tostring(svg, encoding="unicode")


def small_picture(report: Report) -> str:
    """The lanes, dots and arrows without a word, for an overview."""
    layout = lay_out(report)
    height = layout.height - AXIS
    svg = ET.Element("svg", {"class": "small", "role": "img", "xmlns": "http://www.w3.org/2000/svg"})
    svg.set("viewBox", f"{LEFT - 20:.0f} 0 {NEXT + 40 - LEFT:.0f} {height:.0f}")
    svg.set("aria-label", _in_words(report))
    for arrow in layout.arrows:
        _draw_arrow(svg, arrow)
    for dot in layout.dots:
        dot.r *= 1.6
        _draw_mark(_add(svg, "g", f"dot {dot.kind}"), dot)
    return ET.tostring(svg, encoding="unicode")


def row_id(item: Shown, key: str = "") -> str:
    """The id of the table row of a checkpoint."""
    return f"{key}checkpoint-{item.index}"


def _add(parent: ET.Element, tag: str, kind: str = "", **values: str | float) -> ET.Element:
    """Add an element of the class `kind`; whatever text it gets, ElementTree escapes it."""
    written = {name: value if isinstance(value, str) else f"{value:.1f}" for name, value in values.items()}
    return ET.SubElement(parent, tag, {"class": kind, **written} if kind else written)


def _path(parent: ET.Element, kind: str, *parts: str | float) -> None:
    """Add a path of commands and coordinates."""
    _add(parent, "path", kind, d=" ".join(part if isinstance(part, str) else f"{part:.1f}" for part in parts))


def _text(parent: ET.Element, kind: str, x: float, y: float, text: str, *, at: str = "middle") -> None:
    """Add a text whose `at`, its start or middle, is at (x, y)."""
    element = _add(parent, "text", kind, x=x, y=y)
    element.set("text-anchor", at)
    element.text = text


def _in_words(report: Report) -> str:
    attempts = (f"Attempt {attempt.number} {attempt.words}." for attempt in report.attempts)
    return " ".join([report.headline, *attempts])


def _draw_lanes(svg: ET.Element, layout: Layout) -> None:
    for place, lane in enumerate(layout.lanes):
        top = lane.y - lane.height / 2 - (0 if lane.is_empty else 6)
        if place % 2 == 0:
            _add(svg, "rect", "stripe", x=0.0, y=top, width=WIDTH, height=lane.height)
        middle = top + lane.height / 2
        if lane.is_empty and lane.height < 40:
            _text(svg, "quiet", 12, middle + 4, f"{lane.title}: {lane.subtitle}", at="start")
            continue
        _text(svg, "lane", 12, middle - 3, lane.title, at="start")
        _text(svg, "quiet", 12, middle + 14, lane.subtitle, at="start")
        xs = [dot.x for dot in layout.dots if dot.y == lane.y and dot.kind != "next"]
        if len(xs) > 1:
            _path(svg, "life", "M", min(xs), lane.y, "H", max(xs))


def _draw_axis(svg: ET.Element, layout: Layout) -> None:
    y = layout.ticks[0].y if layout.ticks else layout.height - 40
    _path(svg, "axis", "M", LEFT - 12, y, "H", NEXT + 20)
    for tick in layout.ticks:
        _path(svg, "axis", "M", tick.x, y, "v5")
        _text(svg, "quiet", tick.x, y + 19, tick.text)
    _text(svg, "quiet", 12, y + 19, "Time (UTC), not to scale", at="start")


def _draw_arrow(svg: ET.Element, arrow: Arrow) -> None:
    start, end = arrow.start, arrow.end
    is_next = end.kind == "next"
    group = _add(svg, "g", "arrow" + (" copy" if arrow.is_copy else "") + (" next" if is_next else ""))
    down = 1 if end.y >= start.y else -1
    tip = end.r + 2
    if start.y == end.y:  # from an earlier checkpoint of the same attempt
        y = start.y - start.r - 1
        _path(group, "line", "M", start.x, y, "C", start.x, y - 22, end.x, y - 22, end.x, y)
        _draw_head(group, end.x, end.y - tip, 0, 1)
        return
    begin = start.y + down * (start.r + 1)
    if end.x - start.x > tip + 14:
        turn = (start.x, end.y)
        _path(group, "line", "M", start.x, begin, "C", *turn, *turn, end.x - tip - 6, end.y)
        _draw_head(group, end.x - tip, end.y, 1, 0)
    else:
        middle, stop = (start.y + end.y) / 2, end.y - down * (tip + 6)
        _path(group, "line", "M", start.x, begin, "C", start.x, middle, end.x, middle, end.x, stop)
        _draw_head(group, end.x, end.y - down * tip, 0, down)


def _draw_head(group: ET.Element, x: float, y: float, along: int, down: int) -> None:
    """A triangle with its tip at (x, y)."""
    back_x, back_y = x - 8 * along, y - 8 * down
    left, right = (back_x - 4 * down, back_y - 4 * along), (back_x + 4 * down, back_y + 4 * along)
    _path(group, "head", "M", x, y, "L", *left, "L", *right, "Z")


def _draw_dot(svg: ET.Element, dot: Dot, *, links: bool, key: str) -> None:
    group = _add(svg, "g", f"dot {dot.kind}" + (" pinned" if dot.is_pinned else ""))
    inside = _add(group, "a", href=f"#{row_id(dot.shown, key)}") if links and dot.shown else group
    _add(inside, "title").text = _told(dot)
    _draw_mark(inside, dot)
    if dot.label:
        is_strong = dot.kind in ("target", "damaged")
        _text(inside, "label strong" if is_strong else "label", dot.x, dot.y - dot.r - 8, dot.label)


def _told(dot: Dot) -> str:
    if dot.kind == "next":
        return "the next attempt"
    words = [dot.name]
    if dot.kind == "unfinished":
        words.append(f"attempt {dot.lane}")
    item = dot.shown
    if item:
        words += [] if item.attempt is None else [f"attempt {item.attempt}"]
        words += [] if item.bytes is None else [size(item.bytes)]
        words += [f"saved {date(item.created_at)} UTC"] if item.created_at else []
        words += [f"took {span(item.saved_in)}"] if item.saved_in is not None else []
        words += ["a copy of what was restored"] if item.copied_from else []
        words += ["pinned"] if item.pinned else []
        words += ["held"] if item.held else []
    words.append(item.problem if item and item.problem else _MEANINGS[dot.kind])
    return ", ".join(words)


def _draw_mark(parent: ET.Element, dot: Dot) -> None:
    x, y, r = dot.x, dot.y, dot.r
    left, right, top, bottom = x - r, x + r, y - r, y + r
    if dot.kind == "next":
        _path(parent, "mark", "M", left, top, "L", right, y, "L", left, bottom, "Z")
    elif dot.kind == "unfinished":
        _path(parent, "mark", "M", x, top, "L", right, bottom, "H", left, "Z")
    elif dot.shape == "diamond":
        d = r * 1.2
        _path(parent, "mark", "M", x, y - d, "l", d, d, "l", -d, d, "l", -d, -d, "Z")
    elif dot.shape == "square":
        _add(parent, "rect", "mark", x=left, y=top, width=2 * r, height=2 * r)
    else:
        _add(parent, "circle", "mark", cx=x, cy=y, r=r)
    if dot.kind == "target":
        _add(parent, "circle", "ring", cx=x, cy=y, r=r + 3.5)
    if dot.kind == "damaged":
        d = r * 0.55
        _path(parent, "cross", "M", x - d, y - d, "L", x + d, y + d, "M", x + d, y - d, "L", x - d, y + d)
    if dot.kind == "doomed":
        _path(parent, "slash", "M", left, bottom, "L", right, top)
    if dot.is_pinned:
        _path(parent, "pin", "M", x, bottom + 2, "v9m-4 0h8")


def _draw_legend(svg: ET.Element, layout: Layout) -> float:
    """What the marks in this picture mean; the height of the picture with that."""
    dots = layout.dots
    samples = [
        (Dot("", kind, None, (0, 0), "", r=6), meaning)
        for kind, meaning in _MEANINGS.items()
        if any(dot.kind == kind for dot in dots)
    ]
    if any(dot.shape == "diamond" for dot in dots):
        samples.append((Dot("", "history", None, (0, 0), "", "diamond", r=6), "copied from another attempt"))
    if any(dot.shape == "square" for dot in dots):
        samples.append((Dot("", "history", None, (0, 0), "", "square", r=6), "plain files, not verified"))
    if any(dot.is_pinned for dot in dots):
        samples.append((Dot("", "history", None, (0, 0), "", is_pinned=True, r=4), "pinned"))
    x, y = 20.0, layout.height + 12
    for dot, meaning in samples:
        width = 26 + len(meaning) * 6.3
        if x + width > WIDTH:
            x, y = 20.0, y + _LEGEND_LINE
        dot.x, dot.y = x, y - (4 if dot.is_pinned else 0)
        key = _add(svg, "g", f"key {dot.kind}")
        _draw_mark(key, dot)
        _text(key, "quiet", x + 14, y + 4, meaning, at="start")
        x += width + 12
    if any(dot.shown for dot in dots):
        y += _LEGEND_LINE
        steps = " Numbers are steps." if any(dot.shown and dot.shown.step is not None for dot in dots) else ""
        note = f"The larger, the more bytes.{steps} An arrow leads from what was restored."
        _text(svg, "quiet", 12, y + 4, note, at="start")
    return y + 16
