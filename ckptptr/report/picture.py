"""The picture: one inline SVG, drawn from the facts.

Colour is never the only sign: each kind of mark has its own form, a title, and a line in the legend.
The colours are in `templates/style.css`.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from ckptptr.report.attempts import Shown
from ckptptr.report.facts import Report
from ckptptr.report.layout import LEFT, NEXT, WIDTH, Arrow, Dot, Kind, Layout, lay_out
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


def picture(report: Report, *, links: bool = False) -> str:
    """The SVG.

    Args:
        links: each checkpoint is a link to the element with its `row_id`.
    """
    layout = lay_out(report)
    legend, height = _legend(layout)
    parts = [
        f'<svg class="picture" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img"'
        ' aria-labelledby="ckptptr-title ckptptr-desc" xmlns="http://www.w3.org/2000/svg">',
        f'<title id="ckptptr-title">Checkpoints of {escape(report.node)}</title>',
        f'<desc id="ckptptr-desc">{escape(_in_words(report))}</desc>',
        *_lanes(layout),
        *_axis(layout),
        *map(_arrow, layout.arrows),
        *(_text(label.x, label.y, label.text, "span") for label in layout.spans),
        *(_dot(dot, links=links) for dot in layout.dots),
        *legend,
        "</svg>",
    ]
    return "\n".join(parts)


def row_id(item: Shown) -> str:
    """The id of the table row of a checkpoint."""
    return f"checkpoint-{item.index}"


def _in_words(report: Report) -> str:
    attempts = (f"Attempt {attempt.number} {attempt.words}." for attempt in report.attempts)
    return " ".join([report.headline, *attempts])


def _lanes(layout: Layout) -> Iterator[str]:
    for place, lane in enumerate(layout.lanes):
        top = lane.y - lane.height / 2 - (0 if lane.is_empty else 6)
        if place % 2 == 0:
            yield f'<rect class="stripe" x="0" y="{top:.1f}" width="{WIDTH:.0f}" height="{lane.height:.1f}"/>'
        middle = top + lane.height / 2
        if lane.is_empty and lane.height < 40:
            yield _text(12, middle + 4, f"{lane.title}: {lane.subtitle}", "quiet", anchor="start")
            continue
        yield _text(12, middle - 3, lane.title, "lane", anchor="start")
        yield _text(12, middle + 14, lane.subtitle, "quiet", anchor="start")
        xs = [dot.x for dot in layout.dots if dot.y == lane.y and dot.kind != "next"]
        if len(xs) > 1:
            yield f'<path class="life" d="M{min(xs):.1f} {lane.y:.1f}H{max(xs):.1f}"/>'


def _axis(layout: Layout) -> Iterator[str]:
    y = layout.ticks[0].y if layout.ticks else layout.height - 40
    yield f'<path class="axis" d="M{LEFT - 12:.0f} {y:.1f}H{NEXT + 20:.0f}"/>'
    for tick in layout.ticks:
        yield f'<path class="axis" d="M{tick.x:.1f} {y:.1f}v5"/>'
        yield _text(tick.x, y + 19, tick.text, "quiet")
    yield _text(12, y + 19, "Time (UTC), not to scale", "quiet", anchor="start")


def _arrow(arrow: Arrow) -> str:
    start, end = arrow.start, arrow.end
    kind = "arrow copy" if arrow.is_copy else "arrow"
    kind += " next" if end.kind == "next" else ""
    down = 1 if end.y >= start.y else -1
    tip = end.r + 2
    if start.y == end.y:  # from an earlier checkpoint of the same attempt
        y = start.y - start.r - 1
        line = (
            f"M{start.x:.1f} {y:.1f}C{start.x:.1f} {y - 22:.1f} {end.x:.1f} {y - 22:.1f} {end.x:.1f} {y:.1f}"
        )
        head = _head(end.x, end.y - tip, 0, 1)
    elif end.x - start.x > tip + 14:
        line = (
            f"M{start.x:.1f} {start.y + down * (start.r + 1):.1f}"
            f"C{start.x:.1f} {end.y:.1f} {start.x:.1f} {end.y:.1f} {end.x - tip - 6:.1f} {end.y:.1f}"
        )
        head = _head(end.x - tip, end.y, 1, 0)
    else:
        middle = (start.y + end.y) / 2
        line = (
            f"M{start.x:.1f} {start.y + down * (start.r + 1):.1f}"
            f"C{start.x:.1f} {middle:.1f} {end.x:.1f} {middle:.1f} {end.x:.1f} {end.y - down * (tip + 6):.1f}"
        )
        head = _head(end.x, end.y - down * tip, 0, down)
    return f'<g class="{kind}"><path class="line" d="{line}"/><path class="head" d="{head}"/></g>'


def _head(x: float, y: float, along: int, down: int) -> str:
    """A triangle with its tip at (x, y)."""
    back_x, back_y = x - 8 * along, y - 8 * down
    return (
        f"M{x:.1f} {y:.1f}L{back_x - 4 * down:.1f} {back_y - 4 * along:.1f}"
        f"L{back_x + 4 * down:.1f} {back_y + 4 * along:.1f}Z"
    )


def _dot(dot: Dot, *, links: bool) -> str:
    kind = f"dot {dot.kind}" + (" pinned" if dot.is_pinned else "")
    inside = f"<title>{escape(_told(dot))}</title>{_mark(dot)}"
    if dot.label:
        strong = "label strong" if dot.kind in ("target", "damaged") else "label"
        inside += _text(dot.x, dot.y - dot.r - 8, dot.label, strong)
    if links and dot.shown:
        inside = f'<a href="#{row_id(dot.shown)}">{inside}</a>'
    return f'<g class="{kind}">{inside}</g>'


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


def _mark(dot: Dot) -> str:
    x, y, r = dot.x, dot.y, dot.r
    if dot.kind == "next":
        return (
            f'<path class="mark" d="M{x - r:.1f} {y - r:.1f}L{x + r:.1f} {y:.1f}L{x - r:.1f} {y + r:.1f}Z"/>'
        )
    if dot.kind == "unfinished":
        parts = [f'<path class="mark" d="M{x:.1f} {y - r:.1f}L{x + r:.1f} {y + r:.1f}H{x - r:.1f}Z"/>']
    elif dot.shape == "diamond":
        d = r * 1.2
        path = f"M{x:.1f} {y - d:.1f}l{d:.1f} {d:.1f}l{-d:.1f} {d:.1f}l{-d:.1f} {-d:.1f}Z"
        parts = [f'<path class="mark" d="{path}"/>']
    elif dot.shape == "square":
        parts = [
            f'<rect class="mark" x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r:.1f}" height="{2 * r:.1f}"/>'
        ]
    else:
        parts = [f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"/>']
    if dot.kind == "target":
        parts.append(f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="{r + 3.5:.1f}"/>')
    if dot.kind == "damaged":
        parts.append(f'<path class="cross" d="{_cross(x, y, r * 0.55)}"/>')
    if dot.kind == "doomed":
        parts.append(f'<path class="slash" d="M{x - r:.1f} {y + r:.1f}L{x + r:.1f} {y - r:.1f}"/>')
    if dot.is_pinned:
        parts.append(f'<path class="pin" d="M{x:.1f} {y + r + 2:.1f}v9m-4 0h8"/>')
    return "".join(parts)


def _cross(x: float, y: float, r: float) -> str:
    return f"M{x - r:.1f} {y - r:.1f}L{x + r:.1f} {y + r:.1f}M{x - r:.1f} {y + r:.1f}L{x + r:.1f} {y - r:.1f}"


def _legend(layout: Layout) -> tuple[list[str], float]:
    """What the marks in this picture mean; and how high the picture is with that."""
    samples: list[tuple[Dot, str]] = []
    for kind, meaning in _MEANINGS.items():
        if any(dot.kind == kind for dot in layout.dots):
            samples.append((Dot("", kind, None, (0, 0), "", r=6), meaning))
    if any(dot.shape == "diamond" for dot in layout.dots):
        samples.append((Dot("", "history", None, (0, 0), "", "diamond", r=6), "copied from another attempt"))
    if any(dot.shape == "square" for dot in layout.dots):
        samples.append((Dot("", "history", None, (0, 0), "", "square", r=6), "plain files, not verified"))
    if any(dot.is_pinned for dot in layout.dots):
        samples.append((Dot("", "history", None, (0, 0), "", is_pinned=True, r=4), "pinned"))
    x, y = 20.0, layout.height + 12
    parts = []
    for dot, meaning in samples:
        width = 26 + len(meaning) * 6.3
        if x + width > WIDTH:
            x, y = 20.0, y + _LEGEND_LINE
        dot.x, dot.y = x, y - (4 if dot.is_pinned else 0)
        text = _text(x + 14, y + 4, meaning, "quiet", anchor="start")
        parts.append(f'<g class="key {dot.kind}">{_mark(dot)}{text}</g>')
        x += width + 12
    if any(dot.shown for dot in layout.dots):
        steps = any(dot.shown and dot.shown.step is not None for dot in layout.dots)
        note = (
            f"The larger, the more bytes.{' Numbers are steps.' if steps else ''}"
            " An arrow leads from what was restored."
        )
        parts.append(_text(12, y + _LEGEND_LINE + 4, note, "quiet", anchor="start"))
        y += _LEGEND_LINE
    return parts, y + 16


def _text(x: float, y: float, text: str, kind: str, *, anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
