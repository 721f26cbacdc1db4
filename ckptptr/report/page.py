"""The page: the picture, and in words and tables all that it shows. One file, no script, no network.

Everything that comes from a bucket is escaped; and should that ever fail, the page forbids scripts
and requests by itself (its Content-Security-Policy).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby

import msgspec

from ckptptr.inspect import shapes
from ckptptr.inspect.sentences import headline, short
from ckptptr.report.attempts import AttemptSummary, Shown, named
from ckptptr.report.facts import Report
from ckptptr.report.picture import picture, row_id
from ckptptr.report.style import STYLE
from ckptptr.version import __version__
from ckptptr.wording import counted, date, moment, number, size, span

MARK = "<!-- written by ckptptr report -->"
"""On the second line of every page: such a file may be written over."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(report: Report) -> str:
    """The whole file."""
    return f"""<!doctype html>
{MARK}
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(report.headline)} {escape(report.node)}</title>
</head>
<body class="ckptptr-page">
{section(report, adapts=True)}
</body>
</html>
"""


def section(report: Report, *, adapts: bool = False) -> str:
    """What belongs into a page, that of a Flyte deck for example.

    Args:
        adapts: to a reader who prefers dark; else it stays light. Its dots are links, too.
    """
    parts = [
        f"<style>{STYLE}</style>",
        f'<main class="ckptptr{" adapts" if adapts else ""}">',
        *_head(report),
        f'<div class="wide">{picture(report, links=adapts)}</div>',
        *_attempts(report.attempts),
        *_checkpoints(report),
        *_unfinished(report),
        *_candidates(report.show),
        f'<p class="quiet">Seen {escape(date(report.written_at))} UTC by ckptptr {__version__},'
        " judged by manifests alone: no payload was fetched, nothing was moved.</p>",
        "</main>",
    ]
    return "\n".join(parts)


def _head(report: Report) -> Iterator[str]:
    show = report.show
    yield f"<h1>{escape(report.headline)}</h1>"
    reasons = [reason for attempt in report.attempts if attempt.role == "this" for reason in attempt.reasons]
    if reasons:
        yield f"<p>Why: {_prose('; '.join(reasons))}.</p>"
    if report.seen_by is not None:
        yield f"<p>{escape(headline(show.checkpoint))} Why: {_prose(show.why)}.</p>"
    else:
        yield f"<p>Why: {_prose(show.why)}.</p>"
    for warning in show.warnings:
        yield f'<p class="warning">{_prose(warning)}</p>'
    latest = show.latest
    if latest.damage:
        yield f'<p class="bad">LATEST is damaged: {escape(latest.damage)}</p>'
    if latest.held:
        how = "a person edited LATEST" if latest.held_by == "edit" else "with <code>ckptptr use</code>"
        yield (
            f'<p class="warning">LATEST is held, {how}: no save moves it, the next restore takes it up.</p>'
        )
    if latest.note:
        yield f"<p>Note: {escape(latest.note)}</p>"
    yield f'<p class="quiet"><code>{escape(report.node)}</code></p>'
    tasks = sorted({item.task for item in report.checkpoints if item.task})
    if tasks:
        yield f'<p class="quiet">Task: {escape(", ".join(tasks))}</p>'


def _attempts(attempts: Sequence[AttemptSummary]) -> Iterator[str]:
    yield '<h2>What each attempt resumed from, and why</h2>\n<ul class="attempts">'
    for bare, group in groupby(attempts, lambda attempt: attempt.role == "past" and not attempt.checkpoints):
        alike = [*group]
        if bare:
            name = named([attempt.number for attempt in alike])
            yield f"<li><strong>{name}</strong> {escape(alike[0].words)}.</li>"
        else:
            yield from map(_attempt, alike)
    yield "</ul>"


def _attempt(attempt: AttemptSummary) -> str:
    role = {"this": ", this one,", "next": ", the next,"}.get(attempt.role, "")
    facts = [f"{counted(attempt.checkpoints, 'checkpoint')}, {size(attempt.bytes)}"] if attempt.bytes else []
    facts += [] if not attempt.every else [f"one every {span(attempt.every)}"]
    facts += [f"{_from_to(attempt.first, attempt.last)} UTC"] if attempt.first else []
    quiet = [f"{', '.join(facts)}."] if facts else []
    quiet += [f"{reason[:1].upper()}{reason[1:]}." for reason in attempt.reasons]
    told = f"<strong>Attempt {attempt.number}</strong>{role} {escape(attempt.words)}."
    return f'<li>{told} <span class="quiet">{_prose(" ".join(quiet))}</span></li>'


def _from_to(first: str, last: str | None) -> str:
    began, ended = date(first), date(last)
    if began == ended:
        return began
    day, _, clock = ended.partition(", ")
    return f"{began} to {clock if began.startswith(day) else ended}"


def _prose(text: str) -> str:
    """A sentence of ours, with commands in it in backticks; what else is in it is escaped."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escape(text))


_STATES: dict[str, tuple[str, str]] = {
    "target": ("LATEST", "good"),
    "history": ("history", ""),
    "unnamed": ("unnamed", "warning"),
    "doomed": ("doomed", "quiet"),
}


def _checkpoints(report: Report) -> Iterator[str]:
    shown = report.checkpoints
    yield f"<h2>{counted(len(shown), 'checkpoint') if shown else 'No checkpoint'}</h2>"
    if report.left_out:
        yield f'<p class="quiet">And {report.left_out} more, older, which are not shown here.</p>'
    if not shown:
        return
    timed = any(item.saved_in is not None for item in shown)
    noted = any(item.metadata for item in shown)
    heads = [("#", 1), ("state", 0), ("step", 1), ("attempt", 1), ("size", 1), ("saved (UTC)", 0)]
    heads += [("after", 1), *([("took", 1)] if timed else []), ("resumed from", 0), ("id", 0)]
    heads += [("metadata", 0)] if noted else []
    largest = max((item.bytes or 0 for item in shown), default=0)
    longest = max((item.saved_in or 0.0 for item in shown), default=0.0)
    since = _since(shown)
    origins = {o.reference: o.words for attempt in report.attempts for o in attempt.origins}
    rows = []
    for item in shown:
        cells = [
            _cell(str(item.index), "number"),
            f"<td>{_state(item)}</td>",
            _cell(number(item.step), "number"),
            _cell(number(item.attempt), "number"),
            _measured(size(item.bytes) if item.bytes is not None else "-", item.bytes or 0, largest),
            _cell(date(item.created_at or item.published_at)),
            _cell(since.get(item.checkpoint, "-"), "number"),
        ]
        if timed:
            took = "-" if item.saved_in is None else span(item.saved_in)
            cells.append(_measured(took, item.saved_in or 0.0, longest))
        cells += [_cell(origins.get(item.parent or "", "-")), _code(short(item))]
        if noted:
            noted_here = msgspec.json.encode(item.metadata).decode() if item.metadata else ""
            cells.append(f'<td class="long"><code>{escape(noted_here)}</code></td>')
        rows.append(f'<tr id="{row_id(item)}">{"".join(cells)}</tr>')
    yield from _table(heads, rows)
    for item in shown:
        if item.problem:
            yield f'<p class="bad">#{item.index} cannot be restored: {escape(item.problem)}.</p>'
    command = shlex.join(["ckptptr", "use", report.node])
    yield f'<p class="quiet">To choose one: <code>{escape(command)} ID</code></p>'


def _since(shown: Sequence[Shown]) -> dict[str, str]:
    """How long after the one before it, of the same attempt, each checkpoint was saved."""
    since = {}
    before: dict[int | None, Shown] = {}
    for item in reversed(shown):
        then, now = (
            moment(other.created_at) if other else None for other in (before.get(item.attempt), item)
        )
        if then and now and now >= then and not item.is_elsewhere:
            since[item.checkpoint] = span((now - then).total_seconds())
        before[item.attempt] = item
    return since


def _state(item: Shown) -> str:
    word, style = _STATES[item.state]
    words = [f'<span class="{style}">{word}</span>' if style else word]
    words += ['<span class="warning">held</span>'] if item.held else []
    words += ["pinned"] if item.pinned else []
    words += ["copy"] if item.copied_from else []
    words += ['<span class="bad">damaged</span>'] if item.problem else []
    return ", ".join(words)


def _unfinished(report: Report) -> Iterator[str]:
    if not report.unfinished:
        return
    yield "<h2>Unfinished</h2>"
    yield (
        '<p class="quiet">Files that no manifest commits: a save that was killed or is under way,'
        " or a sweep that is half done. They are never restored, and a sweep takes them.</p>"
    )
    rows = [
        f"<tr>{_code(item.id)}{_cell(str(item.attempt), 'number')}{_cell(size(item.bytes), 'number')}"
        f"{_cell(str(item.files), 'number')}</tr>"
        for item in report.unfinished
    ]
    yield from _table([("id", 0), ("attempt", 1), ("size", 1), ("files", 1)], rows)


_OUTCOMES = {"taken": "good", "rejected": "bad", "absent": "quiet", "next": "", "unknown": "warning"}


def _candidates(show: shapes.Show) -> Iterator[str]:
    if not show.candidates:
        return
    yield "<h2>Candidates, in the order of the next restore</h2>"
    rows = []
    for candidate in show.candidates:
        checkpoint = candidate.checkpoint
        name = "LATEST itself" if candidate.reference == show.latest.url else candidate.reference
        rows.append(
            f'<tr><td class="{_OUTCOMES[candidate.outcome]}">{candidate.outcome}</td>'
            + _cell(number(checkpoint.step) if checkpoint else "-", "number")
            + _code(short(checkpoint) if checkpoint else name)
            + _cell("LATEST" if candidate.source == "latest" else candidate.source)
            + _cell(candidate.reason, "long")
            + "</tr>"
        )
    yield from _table([("outcome", 0), ("step", 1), ("checkpoint", 0), ("from", 0), ("reason", 0)], rows)


def _table(heads: Iterable[tuple[str, int]], rows: Iterable[str]) -> Iterator[str]:
    cells = "".join(f"<th{' class=number' if right else ''}>{head}</th>" for head, right in heads)
    yield f'<div class="wide"><table>\n<thead><tr>{cells}</tr></thead>\n<tbody>'
    yield from rows
    yield "</tbody></table></div>"


def _cell(text: str, kind: str = "") -> str:
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"


def _code(text: str) -> str:
    return f"<td><code>{escape(text)}</code></td>"


def _measured(text: str, amount: float, most: float) -> str:
    """A number, and below it a bar as long as it is large."""
    bar = f'<span class="bar" style="width:{100 * amount / most:.0f}%"></span>' if most else ""
    return f'<td class="number">{escape(text)}{bar}</td>'
