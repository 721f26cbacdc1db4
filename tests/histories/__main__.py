"""Live random histories for a while: `python -m tests.histories`, or `make histories`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

from tests.histories.places import STORES
from tests.histories.run import lived
from tests.histories.served import ENGINES, buckets_on_s3
from tests.histories.turns import one_after_the_other

TELL_EVERY = 60.0


def main() -> int:
    options = _options()
    began, told, broken, steps = time.monotonic(), 0.0, 0, 0
    done: Counter[str] = Counter()
    seed, end = options.first, options.first + options.count if options.count else sys.maxsize
    with one_after_the_other(), buckets_on_s3() if options.server else nullcontext() as served:
        while seed < end and time.monotonic() - began < options.seconds:
            try:
                history = lived(seed, options.scratch, tuple(ENGINES) if served else STORES, served)
            except AssertionError as wrong:
                broken += 1
                print(wrong, flush=True)
            except BaseException as error:
                print(f"Ended before its time by {error!r}, in seed {seed}. {broken} broken before it.")
                raise
            else:
                done += history.done
                steps += history.bucket.requests
                if options.digest:
                    print(history.bucket.digest, flush=True)
            seed += 1
            if not options.digest and time.monotonic() - began > told + TELL_EVERY:
                told = time.monotonic() - began
                print(_line(seed - options.first, steps, broken, told), flush=True)
    if not options.digest:
        print(_line(seed - options.first, steps, broken, time.monotonic() - began))
        print("The time is over." if seed < end else "All are lived.")
        print(
            f"seeds {options.first} to {seed - 1}: "
            + ", ".join(f"{n} {what}" for what, n in sorted(done.items()))
        )
    return int(broken > 0)


def _line(histories: int, steps: int, broken: int, seconds: float) -> str:
    rate = f"{histories / max(seconds, 0.001):.2f} histories a second"
    return f"{seconds:.0f} s: {histories} histories, {steps} requests, {broken} broken, {rate}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.histories", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="begin no other history after that"
    )
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument(
        "--count", type=int, default=0, help="so many histories; without it, as many as there is time for"
    )
    parser.add_argument(
        "--digest", action="store_true", help="print of each history only what identifies its requests"
    )
    parser.add_argument("--server", action="store_true", help="on a real S3 server, by both engines; slower")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
