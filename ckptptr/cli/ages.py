"""`--older-than 30d`: how long ago, as options read it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

import click

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def older_than(help: str, *, required: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option; the function gets a `timedelta`."""
    return click.option(
        "--older-than", metavar="AGE", required=required, callback=lambda _, __, text: _age(text), help=help
    )


def _age(text: str | None) -> timedelta | None:
    if text is None:
        return None
    found = re.fullmatch(r"([0-9]{1,4})([mhdw])", text)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a number and a unit, such as 45m, 12h, 30d or 6w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def before(now: datetime, age: timedelta) -> float:
    """That long ago, in seconds since 1970."""
    return (now - age).timestamp()
