"""Numbers as people read them."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_MINUTE = 60


def size(count: int) -> str:
    """`10.0 GiB`."""
    amount, unit = float(count), _UNITS[0]
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"


def moved(count: int, seconds: float) -> str:
    """`10.0 GiB in 4.2 s`."""
    return f"{size(count)} in {seconds:.1f} s"


def age(seconds: float) -> str:
    """`3 hours ago`."""
    if seconds < -_MINUTE:
        return "in the future"  # somebody's clock is wrong
    for unit, length in (("day", 24 * 60 * _MINUTE), ("hour", 60 * _MINUTE), ("minute", _MINUTE)):
        count = int(seconds // length)
        if count > 0:
            return f"{count} {unit} ago" if count == 1 else f"{count} {unit}s ago"
    return "just now"
