"""The only source of time and randomness, so that a test can control both."""

from __future__ import annotations

import random
import secrets
import time
from datetime import datetime, timezone
from typing import Protocol

_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


class Clock(Protocol):
    """The time and randomness that the protocol uses."""

    def now(self) -> datetime:
        """The time in UTC. It is only recorded, for people: no decision depends on it."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def token(self, length: int) -> str:
        """`length` characters of a-z and 0-9, new each time."""

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
    """`2026-11-23T15:20:05Z`: the form in LATEST and the manifests."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
