"""`make fuzz MINUTES=30`: cases without end. The first that is wrong is made small and kept, and ends it.

With `--guided` atheris, which is not installed by `make setup`, looks for inputs that reach new code.
"""

from __future__ import annotations

import argparse
import itertools
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hypothesis import seed

from tests.fuzz.case import keep
from tests.fuzz.fuzzer import Fuzzer, hang
from tests.fuzz.operations import ready

_MEMORY = 4 << 30
"""Bytes of address space: about twenty times what the process needs."""
_ROUND = 500


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9), help="of the first round")
    parser.add_argument("--guided", action="store_true", help="by atheris: pip install atheris")
    given_ = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    signal.signal(signal.SIGALRM, hang)
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


if __name__ == "__main__":
    sys.exit(main())
