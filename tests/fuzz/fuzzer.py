"""Runs cases, and remembers how they ended."""

from __future__ import annotations

import collections
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.case import Case, Told, keep
from tests.fuzz.damage import cases
from tests.fuzz.environment import hear, tellings
from tests.fuzz.operations import play

TIME_IS_OVER = "The time is over: no case was wrong."
_MEMORY = 4 << 30
"""Bytes of address space: about twenty times what the process needs."""
_SECONDS = 60
"""No case takes a tenth of this on an idle machine."""


class HangError(Exception):
    """A case that does not end."""


class Fuzzer:
    """Runs cases; remembers how they ended, and the last one that was wrong."""

    def __init__(self, scratch: Path) -> None:
        self.ends: collections.Counter[str] = collections.Counter()
        self.wrong: Case | Told | None = None
        self._scratch = scratch

    def check(self, case: Case | Told) -> None:
        signal.alarm(_SECONDS)
        try:
            how = f"environment: {hear(case)}" if isinstance(case, Told) else play(case, self._scratch)
        except Exception:
            self.wrong = case
            raise
        finally:
            signal.alarm(0)
        self.ends[how if isinstance(case, Told) else f"{case.run[0]}: {how}"] += 1

    def test(self, examples: int) -> Callable[[], None]:
        """A test of hypothesis: four cases of a bucket for one of an environment."""
        rules = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        test: Any = given(cases() | cases() | cases() | cases() | tellings())(self.check)
        return rules(test)

    def tell(self, why: str) -> None:
        """Print how the cases ended, and why there are no more of them. A wrong one is kept."""
        print(f"{sum(self.ends.values()):,} cases, each with its end:")
        for end, count in sorted(self.ends.items()):
            print(f"  {count:7,} {end}")
        if self.wrong is not None:
            why = f"A case was wrong, and is kept: {keep(self.wrong)}"
        print(why, flush=True)


def limited() -> None:
    """From now on a case that does not end, or takes the memory of this machine, is an error."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGALRM, _hang)


def _hang(*_: object) -> None:
    raise HangError(f"a case took more than {_SECONDS} s")
