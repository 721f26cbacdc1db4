"""The programs that save outside Flyte: `python -m tests.trouble.writers KIND URL FOLDER LEDGERS`.

`alone` claims an attempt and saves again and again. `behind` saves in the background. `ranks` is one of
`RANKS` processes that make each checkpoint together. Each ends at an error, as a task does.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

import ckptptr
from tests.trouble import jumping_clock
from tests.trouble.ledger import RANKS, Ledger, written

OPTIONS = "TROUBLE_OPTIONS"
PACE = "TROUBLE_PACE"
"""Seconds between two saves."""


def alone(url: str, folder: Path, ledger: Ledger) -> None:
    with ckptptr.open(url, storage_options=_options()) as checkpoints:
        # The folder outlives kills: what a killed restore left in it is used again.
        ledger.restore(checkpoints, folder.parent / "kept")
        while True:
            step = ledger.begin()
            checkpoints.save(written(ledger.node, step, folder), step=step)
            pause()


def behind(url: str, folder: Path, ledger: Ledger) -> None:
    with ckptptr.open(url, storage_options=_options()) as checkpoints:
        ledger.restore(checkpoints, folder / "restored")
        number = 0
        while True:
            step = ledger.begin()
            checkpoints.save(written(ledger.node, step, folder / "work"), step=step, block=False)
            number += 1
            if number % 7 == 0:
                checkpoints.wait()
            pause()


def ranks(url: str, folder: Path, ledger: Ledger) -> None:
    """The ranks count their steps from a first one that they share."""
    attempt, rank, step = (int(os.environ[f"TROUBLE_{name}"]) for name in ("ATTEMPT", "RANK", "STEP"))
    opened = ckptptr.open(url, attempt=attempt, round=f"round-{attempt}", storage_options=_options())
    with opened as checkpoints:
        ledger.restore(checkpoints, folder / "restored")
        parts = checkpoints.parts(rank, RANKS, deadline=20)
        while True:
            step += 1
            ledger.note("begin", step=step)
            parts.save(written(ledger.node, step, folder / "work", rank), step=step)
            pause()


def pause() -> None:
    time.sleep(float(os.environ.get(PACE, "0.2")))


def _options() -> dict[str, str]:
    options: dict[str, str] = json.loads(os.environ.get(OPTIONS, "{}"))
    return options


def main(kind: str, url: str, scratch: str, ledgers: str) -> None:
    jumping_clock.install()
    ledger = Ledger(Path(ledgers), kind)
    ledger.watch()
    folder = Path(scratch) / str(os.getpid())
    run = {"alone": alone, "behind": behind, "ranks": ranks}[kind]
    try:
        with ledger.errors():
            folder.mkdir(parents=True)
            run(url, folder, ledger)
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
