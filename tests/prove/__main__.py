"""Explore the worlds: `python -m tests.prove`, or `make prove`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.prove.report import BY_NAME, Report, prove_named, replayed
from tests.prove.scheduler import Fault


def main() -> int:
    options = _options()
    if options.replay:
        print(replayed(BY_NAME[options.world[0]], options.fault, options.replay))
        return 0
    names = options.world or [name for name, world in BY_NAME.items() if world.slice or not options.slice]
    began, reports = time.monotonic(), []
    for report in _reports(names, min(options.workers, len(names)), as_slice=options.slice):
        reports.append(report)
        print(report, flush=True)
        if report.trace:
            print(report.trace, flush=True)
            if options.workers == 1:
                return 1
    total = Report(
        f"{len(reports)} worlds",
        sum(report.plans for report in reports),
        sum(report.schedules for report in reports),
        sum(report.states for report in reports),
        sum(report.seconds for report in reports),
    )
    print(f"{total} of processor time, {time.monotonic() - began:.0f} s")
    return int(any(report.trace for report in reports))


def _reports(names: Sequence[str], workers: int, *, as_slice: bool) -> Iterator[Report]:
    if workers == 1:
        yield from (prove_named(name, as_slice=as_slice) for name in names)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(prove_named, name, as_slice=as_slice) for name in names]
        yield from (job.result() for job in as_completed(jobs))


def _fault(text: str) -> Fault:
    process, kind, nth = text.split()
    return Fault(process, kind, int(nth))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.prove", description=__doc__)
    parser.add_argument("--world", action="append", choices=BY_NAME, help="only this one; may be repeated")
    parser.add_argument("--replay", type=int, metavar="NUMBER", help="show that schedule of the one world")
    parser.add_argument("--fault", action="append", type=_fault, default=[], help='as in "A crash 3"')
    parser.add_argument("--slice", action="store_true", help="the part that the ordinary suite runs")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    if options.replay and len(options.world or ()) != 1:
        parser.error("--replay needs one --world")
    return options


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets have one order, so that a number is one schedule
        environ = {**os.environ, "PYTHONHASHSEED": "0"}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)  # noqa: S606
    sys.exit(main())
