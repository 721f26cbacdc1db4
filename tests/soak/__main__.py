"""Long runs, and what must not grow in them: `python -m tests.soak`, or `make soak`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.results import commit, recorded
from tests.soak.attempts import attempts, claimed_attempts
from tests.soak.gauges import Row
from tests.soak.indices import indices
from tests.soak.ranks import ranks
from tests.soak.saves import hurried_saves, saves
from tests.soak.site import Site, on_disk, on_gcs, on_s3

RESULTS = Path(__file__).with_name("RESULTS.md")
STRETCHES = 10


@dataclass(frozen=True)
class Story:
    """`size`: how many turns; `where`: on a real server, but where what counts is the same on a disk."""

    tell: Callable[[Site, int, int], list[Row]]
    size: int
    unit: str
    where: Callable[[], AbstractContextManager[Site]]


STORIES = {
    "saves": Story(saves, 10_000, "saves", on_disk),
    "hurried saves": Story(hurried_saves, 10_000, "saves", on_s3),
    "attempts": Story(partial(attempts, own_process=True), 1000, "attempts", on_s3),
    "claimed attempts": Story(claimed_attempts, 1000, "attempts", on_gcs),
    "indices": Story(indices, 2000, "map indices at once", on_s3),
    "ranks": Story(ranks, 100, "sets of 64 ranks", on_s3),
}


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, _end)
    running, broken = commit(), []
    for name in options.story or STORIES:
        story = STORIES[name]
        size, began = max(int(story.size * options.size), STRETCHES), time.monotonic()
        with story.where() as site, ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
            rows = alone.submit(story.tell, site, size, STRETCHES).result()
        minutes = (time.monotonic() - began) / 60
        told = "\n".join(
            [
                f"{time.strftime('%Y-%m-%d', time.gmtime())}, commit {running}: {size:,} {story.unit}, "
                f"{story.where.__name__.replace('_', ' ')}, {minutes:.1f} minutes. Python "
                f"{platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.0f}.",
                "",
                "| | at first | at last | at most |",
                "|---|---|---|---|",
                *map(str, rows),
            ]
        )
        print(f"## {name}\n\n{told}\n", flush=True)
        broken += [f"{name}: {row.broken}" for row in rows if row.broken]
        if options.record:
            RESULTS.write_text(recorded(RESULTS.read_text(), name, told, [*STORIES]))
    print(*broken or ["nothing has grown"], sep="\n")
    return int(bool(broken))


def _end(*_: object) -> None:
    """With all that was started."""
    for child in multiprocessing.active_children():
        child.terminate()
    sys.exit(1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--story", choices=STORIES, action="append", help="only this one")
    parser.add_argument("--size", type=float, default=1, help="a part of the full size: 0.01")
    parser.add_argument("--record", action="store_true", help=f"write the results into {RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
