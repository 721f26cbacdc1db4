"""A save, a restore and a look at the history, after so many small checkpoints: with all of them kept, as
far as LATEST can name them (500, and those that are pinned); then, there, with the default retention.

Timed are the next saves, until each returns; counted is what such a save sends until all is quiet, what it
sweeps in the background included. Not the one that sweeps what was kept until then. The first save of a
process is counted apart: it looks for orphans too.
"""

from __future__ import annotations

import itertools
from typing import Any

from benchmarks.growth.site import Site, seconds
from ckptptr import Checkpoints, Retention

BEFORE = (1, 10, 100, 1000)
ALL = Retention(keep_last=10 * max(BEFORE))
RETENTIONS = {"all": ALL, "the last three": Retention()}
_numbers = itertools.count()


def measure(site: Site, most: int) -> list[dict[str, Any]]:
    found = []
    for before in (each for each in BEFORE if each <= most // 100):
        name = f"history-{before}"
        with site.open(name, attempt=0, retention=ALL) as checkpoints:
            for _ in range(before):
                _save(checkpoints)
        for attempt, kept in enumerate(RETENTIONS, start=1):
            found.append({"kept": kept, "before": before, **_costs(site, name, RETENTIONS[kept], attempt)})
            print(f"growth    {found[-1]}", flush=True)
    return sorted(found, key=lambda each: str(each["kept"]))


def _save(checkpoints: Checkpoints) -> None:
    checkpoints.save(str(next(_numbers)).encode())  # never what it was before, which would not be sent


def _save_and_sweep(checkpoints: Checkpoints) -> None:
    _save(checkpoints)
    checkpoints.wait()


def _costs(site: Site, name: str, retention: Retention, attempt: int) -> dict[str, Any]:
    """Seconds and requests of each operation, and how many checkpoints LATEST names."""
    with site.open(name, attempt=2 * attempt, retention=retention) as checkpoints:
        for _ in range(2):
            _save_and_sweep(checkpoints)
        took = {"save": seconds(lambda: _save(checkpoints))}
    with site.open(name, read_only=True) as reader:
        site.restored(reader)
        took["restore"] = seconds(lambda: site.restored(reader))
        took["history"] = seconds(reader.history)
        named = len(reader.history())
    with site.open(name, counted=True, attempt=2 * attempt + 1, retention=retention) as checkpoints:
        requests = {
            "first save": site.requests(lambda: _save_and_sweep(checkpoints)),
            "save": site.requests(lambda: _save_and_sweep(checkpoints)),
            "restore": site.requests(lambda: site.restored(checkpoints)),
            "history": site.requests(checkpoints.history),
        }
    return {"named": named, "seconds": took, "requests": requests}
