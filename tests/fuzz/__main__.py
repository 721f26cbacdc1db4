"""`make fuzz MINUTES=30`: cases without end. The first that is wrong is made small and kept, and ends it."""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import seed

from tests.fuzz.fuzzer import TIME_IS_OVER, Fuzzer, limited
from tests.fuzz.operations import ready

_ROUND = 500


def options(what: str | None) -> argparse.Namespace:
    """The minutes to run for, and a seed."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=random.randrange(10**9), help="of the first round")
    return parser.parse_args()


def main() -> int:
    told = options(__doc__)
    end = time.monotonic() + told.minutes * 60
    limited()
    with tempfile.TemporaryDirectory(prefix="ckptptr-fuzz-") as folder, ready():
        fuzzer, why = Fuzzer(Path(folder, "scratch")), TIME_IS_OVER
        try:
            for number in itertools.count(told.seed):
                if time.monotonic() > end:
                    return 0
                print(f"seed {number}", flush=True)
                seed(number)(fuzzer.test(_ROUND))()
        except BaseException as error:
            why = f"Ended before its time by {error!r}; no case was wrong."
            raise
        finally:
            fuzzer.tell(why)


if __name__ == "__main__":
    sys.exit(main())
