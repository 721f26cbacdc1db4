"""Numbers, sizes and times as people read them: on a terminal, on a page, in a log.

What comes from a bucket goes through `printable` before it reaches a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FEW = 20
_UNKNOWN = "-"


def number(value: int | None) -> str:
    """`3`; a dash for what is not known."""
    return _UNKNOWN if value is None else str(value)


def counted(count: int, one: str, many: str = "") -> str:
    """`1 file`, `2 files`; `many` is for a plural that is more than an s."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def size(count: int | None) -> str:
    """`10.0 GiB`; a dash for what is not known."""
    if count is None:
        return _UNKNOWN
    amount, unit = float(count), _UNITS[0]
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def moved(count: int, seconds: float) -> str:
    """`10.0 GiB in 4.2 s`."""
    return f"{size(count)} in {seconds:.1f} s"


def span(seconds: float) -> str:
    """`12 ms`, `2.1 s`, `34 min`, `3 h 20 min`, `2 d 4 h`."""
    if 0 < seconds < 0.95:
        return f"{max(1.0, seconds * 1000):.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return _two(seconds, _HOUR, "h", _MINUTE, "min")
    return _two(seconds, _DAY, "d", _HOUR, "h")


def _two(seconds: float, large: int, large_name: str, small: int, small_name: str) -> str:
    whole, rest = divmod(round(seconds / small) * small, large)
    return f"{whole:.0f} {large_name}" + (f" {rest // small:.0f} {small_name}" if rest else "")


def moment(text: str | None) -> datetime | None:
    """The time in a manifest or in LATEST; None for text that is no time."""
    try:
        return datetime.strptime(text or "", "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def utc(text: str | None) -> str:
    """`2026-11-24 03:20:05`, in UTC, for tables; text that is no time stays as it is."""
    when = moment(text)
    return f"{when:%Y-%m-%d %H:%M:%S}" if when else text or _UNKNOWN


def date(text: str | None) -> str:
    """`24 Nov 2026, 03:20:05`, in UTC, for sentences; text that is no time stays as it is."""
    when = moment(text)
    return f"{when.day} {when:%b %Y, %H:%M:%S}" if when else text or "unknown"


def passed(text: str | None, now: datetime) -> float | None:
    """The seconds since then; None for text that is no time."""
    when = moment(text)
    return (now - when).total_seconds() if when else None


def age(seconds: float) -> str:
    """`3 hours ago`."""
    if seconds < -_MINUTE:
        return "in the future"  # somebody's clock is wrong
    for unit, length in (("day", _DAY), ("hour", _HOUR), ("minute", _MINUTE)):
        count = int(seconds // length)
        if count > 0:
            return f"{counted(count, unit)} ago"
    return "just now"


def ago(text: str | None, now: datetime) -> str:
    """`3 hours ago`; a dash for text that is no time."""
    seconds = passed(text, now)
    return _UNKNOWN if seconds is None else age(seconds)


def when(text: str | None, now: datetime) -> str:
    """`3 hours ago, 2026-11-23 15:20:05 UTC`; text that is no time stays as it is."""
    return f"{ago(text, now)}, {utc(text)} UTC" if moment(text) else utc(text)


def printable(text: str) -> str:
    """`text` with control characters written out: a note must not be able to write over the screen."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def first_few(lines: Sequence[str]) -> list[str]:
    """The lines that fit on a screen, and how many more there are."""
    more = len(lines) - _FEW
    return [*lines] if more <= 0 else [*lines[:_FEW], f"... and {more} more"]
