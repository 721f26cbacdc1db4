"""The only source of time and randomness, so that a test can control both."""

from __future__ import annotations

import math
import random
import secrets
import time
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call goes on when it fails: the one backoff of this project.

    At most `tries` tries. The pauses double from `wait` seconds up to `longest_wait`, each shortened by
    chance to between half and all of it. No try begins more than `at_most` seconds after the first.
    """

    tries: int = 5
    wait: float = 0.1
    longest_wait: float = 5.0
    at_most: float = 120.0

    def pause(self, tried: int, jitter: float, asked: float = 0.0) -> float:
        """The seconds between try number `tried` (counted from 1) and the next one.

        `jitter` is a number in [0, 1); `asked` is what the server asked for, which counts up to
        `longest_wait`.
        """
        planned = self.wait * 2.0 ** (tried - 1)
        return max(min(self.longest_wait, planned) * (0.5 + jitter / 2), min(self.longest_wait, asked))


def backoff(clock: Clock, tried: int, patience: Patience = Patience()) -> None:
    """Sleep before try number `tried + 1`."""
    clock.sleep(patience.pause(tried, clock.jitter()))


def isoformat(moment: datetime) -> str:
    """`2026-11-23T15:20:05Z`: the form in LATEST and the manifests."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def written_at(seconds: float) -> str | None:
    """The same of a time in a listing; None if the store does not tell it."""
    return isoformat(datetime.fromtimestamp(seconds, timezone.utc)) if 0 < seconds < math.inf else None
