"""Time and chance, the only place they come from, so that a test can hold both still."""

from __future__ import annotations

import random
import secrets
import time
from datetime import datetime, timezone
from typing import Protocol

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


class Clock(Protocol):
    """What the protocol may know of time and chance."""

    def now(self) -> datetime:
        """The time in UTC. Only ever written down for people: no decision goes by it."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def token(self, length: int) -> str:
        """`length` characters out of a-z and 0-9, never the same twice."""

    def jitter(self) -> float:
        """A number in [0, 1), to spread retries."""


class SystemClock:
    """The real thing."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def token(self, length: int) -> str:
        return "".join(secrets.choice(_ALPHABET) for _ in range(length))

    def jitter(self) -> float:
        return random.random()


def backoff(clock: Clock, tried: int, *, base: float = 0.1, ceiling: float = 5.0) -> None:
    """Sleep before try number `tried + 1` (counted from 1): exponential, jittered, bounded."""
    clock.sleep(min(ceiling, base * 2.0 ** (tried - 1)) * (0.5 + clock.jitter() / 2))


def isoformat(moment: datetime) -> str:
    """`2026-11-23T15:20:05Z`: what LATEST and the manifests carry."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
