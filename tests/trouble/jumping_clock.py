"""A clock that jumps, in the process that imports this: by minutes, days and years, in both directions."""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta, tzinfo
from random import Random

from ckptptr import clock

SEED = "TROUBLE_CLOCK"
"""Is set where the clock jumps."""

_JUMPS = (0.0, 0.0, 60.0, 3600.0, 86_400.0, 3 * 365 * 86_400.0)  # seconds
_EVERY = 2.0  # seconds


def jump() -> float:
    """By how many seconds the clock is wrong now."""
    dice = Random(f"{os.environ[SEED]} {time.monotonic() // _EVERY}")
    return dice.choice(_JUMPS) * dice.choice((1, -1))


class _Jumping(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(seconds=jump())


def install() -> None:
    if SEED in os.environ:
        right = time.time
        time.time = lambda: right() + jump()
        clock.datetime = _Jumping  # type: ignore[misc]
