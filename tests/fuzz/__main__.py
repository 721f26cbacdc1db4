"""`make fuzz MINUTES=30`: cases without end. The first that is wrong is made small and kept, and ends it.

With `--guided` atheris, which is not installed by `make setup`, looks for inputs that reach new code.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.case import Case, Told, keep
from tests.fuzz.damage import cases
from tests.fuzz.environment import hear, tellings
from tests.fuzz.operations import play, ready

_MEMORY = 4 << 30
"""Bytes of address space: about twenty times what the process needs."""
_SECONDS = 60
"""No case takes a tenth of this on an idle machine."""
_ROUND = 500


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
        except BaseException:
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9), help="of the first round")
    parser.add_argument("--guided", action="store_true", help="by atheris: pip install atheris")
    given_ = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGALRM, _hang)
    with tempfile.TemporaryDirectory(prefix="ckptptr-fuzz-") as folder, ready():
        fuzzer = Fuzzer(Path(folder, "scratch"))
        try:
            (_guided if given_.guided else _at_random)(fuzzer, given_.minutes * 60, given_.seed)
        finally:
            print(f"{sum(fuzzer.ends.values()):,} cases, each with its end:")
            for end, count in sorted(fuzzer.ends.items()):
                print(f"  {count:7,} {end}")
            if fuzzer.wrong is not None:
                print(f"Wrong, and kept: {keep(fuzzer.wrong)}")
    return 0


def _at_random(fuzzer: Fuzzer, seconds: float, first: int) -> None:
    end = time.monotonic() + seconds
    for number in itertools.count(first):
        if time.monotonic() > end:
            return
        print(f"seed {number}", flush=True)
        seed(number)(fuzzer.test(_ROUND))()


def _guided(fuzzer: Fuzzer, seconds: float, first: int) -> None:
    import atheris

    atheris.instrument_all()
    test: Any = fuzzer.test(_ROUND)
    atheris.Setup(
        [sys.argv[0], f"-max_total_time={seconds:.0f}", f"-seed={first}", "-max_len=8192", "-timeout=0"],
        test.hypothesis.fuzz_one_input,
    )
    atheris.Fuzz()


def _hang(*_: object) -> None:
    raise HangError(f"a case took more than {_SECONDS} s")


if __name__ == "__main__":
    sys.exit(main())
