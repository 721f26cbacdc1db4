"""Moments and spans of time as people read them on a page."""

from __future__ import annotations

from datetime import datetime, timezone

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def moment(text: str | None) -> datetime | None:
    """The time that a manifest or LATEST tells; None where it tells none."""
    try:
        return datetime.strptime(text or "", "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    except ValueError:
        return None


def utc(text: str | None) -> str:
    """`24 Nov 2026, 03:20:05`, in UTC."""
    when = moment(text)
    return f"{when.day} {when:%b %Y, %H:%M:%S}" if when else text or "unknown"


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


def counted(count: int, thing: str) -> str:
    """`1 checkpoint`, `3 checkpoints`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _two(seconds: float, large: int, large_name: str, small: int, small_name: str) -> str:
    whole, rest = divmod(round(seconds / small) * small, large)
    return f"{whole:.0f} {large_name}" + (f" {rest // small:.0f} {small_name}" if rest else "")
