"""The page: the picture, and the same facts in words and tables. One file, no script, no network.

The templates escape every value, and a name that is missing is an error. The page also forbids scripts and
requests by itself (Content-Security-Policy), as a second protection.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from ckptptr.inspect import sentences
from ckptptr.report.attempts import AttemptSummary, Shown, named
from ckptptr.report.facts import ExecutionReport, Report
from ckptptr.report.picture import picture, row_id, small_picture
from ckptptr.version import __version__
from ckptptr.wording import counted, date, moment, number, printable, size, span

MARK = "<!-- written by ckptptr report -->"
"""The second line of every page: `ckptptr report` may overwrite a file that has it."""

_CODE = re.compile("`([^`]*)`")
"""A command in a sentence. Text that is split by it has commands at the odd places."""


def page(report: Report) -> str:
    """The whole file."""
    return _rendered("page.html", **_values(report, adapts=True), mark=MARK)


def execution_page(told: ExecutionReport) -> str:
    """One file for an execution: an overview with a small picture of each node, then each node."""
    nodes = [_values(report, adapts=True, key=f"n{number}-") for number, report in enumerate(told.reports)]
    pictures = [small_picture(report) for report in told.reports]
    numbers = {report.node: number for number, report in enumerate(told.reports)}
    return _rendered("execution.html", told=told, nodes=nodes, pictures=pictures, numbers=numbers, mark=MARK)


def section(report: Report) -> str:
    """The part for a page that is not ours, a Flyte deck: always light, without links."""
    return _rendered("section.html", **_values(report, adapts=False))


def _rendered(template: str, **values: Any) -> str:
    """The text that a template gives; control characters from a bucket are written out."""
    lines = _TEMPLATES.get_template(template).render(values).split("\n")
    return "\n".join(map(printable, lines))


def _values(report: Report, *, adapts: bool, key: str = "") -> dict[str, Any]:
    """The values for the templates.

    Args:
        adapts: follow a dark mode; the dots of the picture are links.
        key: begins the ids of this node, if the page has several.
    """
    shown, attempts = report.checkpoints, report.attempts
    return {
        "report": report,
        "adapts": adapts,
        "key": key,
        "picture": picture(report, links=adapts, key=key),
        "reasons": [reason for attempt in attempts if attempt.role == "this" for reason in attempt.reasons],
        "tasks": sorted({item.task for item in shown if item.task}),
        "attempts": [*_attempts(attempts)],
        "since": _since(shown),
        "origins": {origin.reference: origin.words for attempt in attempts for origin in attempt.origins},
        "largest": max((item.bytes or 0 for item in shown), default=0),
        "longest": max((item.saved_in for item in shown if item.saved_in is not None), default=None),
        "command": shlex.join(["ckptptr", "use", report.node]),
    }


def _attempts(attempts: Sequence[AttemptSummary]) -> Iterator[tuple[str, str, str]]:
    """Name, sentence and facts of each attempt; one entry for several in a row that left nothing."""
    for bare, group in groupby(attempts, lambda attempt: attempt.role == "past" and not attempt.checkpoints):
        alike = [*group]
        if bare:
            yield named([attempt.number for attempt in alike]), f" {alike[0].words}.", ""
        else:
            yield from map(_attempt, alike)


def _attempt(attempt: AttemptSummary) -> tuple[str, str, str]:
    role = {"this": ", this one,", "next": ", the next,"}.get(attempt.role, "")
    facts = [f"{counted(attempt.checkpoints, 'checkpoint')}, {size(attempt.bytes)}"] if attempt.bytes else []
    facts += [f"one every {span(attempt.every)}"] if attempt.every else []
    facts += [f"{_from_to(attempt.first, attempt.last)} UTC"] if attempt.first else []
    said = [", ".join(facts), *(f"{reason[:1].upper()}{reason[1:]}" for reason in attempt.reasons)]
    return named([attempt.number]), f"{role} {attempt.words}.", " ".join(f"{each}." for each in said if each)


def _from_to(first: str, last: str | None) -> str:
    began, ended = date(first), date(last)
    if began == ended:
        return began
    day, _, clock = ended.partition(", ")
    return f"{began} to {clock if began.startswith(day) else ended}"


def _since(shown: Sequence[Shown]) -> dict[str, str]:
    """The time of each checkpoint after the one before it in the same attempt."""
    since = {}
    before: dict[int | None, Shown] = {}
    for item in reversed(shown):
        earlier = before.get(item.attempt)
        then, now = moment(earlier.created_at if earlier else None), moment(item.created_at)
        if then and now and now >= then and not item.is_elsewhere:
            since[item.checkpoint] = span((now - then).total_seconds())
        before[item.attempt] = item
    return since


def _state(item: Shown) -> list[tuple[str, sentences.Tone]]:
    words = sentences.state_in_words(item)
    return [*words, ("copy", "")] if item.copied_from else words


_TEMPLATES = Environment(
    loader=PackageLoader("ckptptr", "report/templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters |= {"counted": counted, "date": date, "number": number, "size": size, "span": span}
_TEMPLATES.filters |= {"json": lambda value: msgspec.json.encode(value).decode(), "parts": _CODE.split}
_TEMPLATES.globals |= {"headline": sentences.headline, "hold": sentences.hold_sentence, "state": _state}
_TEMPLATES.globals |= {"short": sentences.short, "name_of": sentences.name_of, "row_id": row_id}
_TEMPLATES.globals |= {"outcomes": sentences.OUTCOMES, "sources": sentences.SOURCES, "version": __version__}
