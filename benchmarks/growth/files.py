"""A checkpoint of 10 to 100,000 small files: on a local disk, and on the null server beside stock; there also
the requests and the memory."""

from __future__ import annotations

import shutil
from statistics import median
from typing import Any

from benchmarks.growth.site import Site
from benchmarks.places import Place, started
from benchmarks.rows import Row, write
from benchmarks.worker import Worker

FILES = (10, 100, 1000, 10_000, 100_000)
SIZE = 100
TIMES = 3  # up to 1000 files; of more, once


def measure(site: Site, most: int) -> list[dict[str, Any]]:
    with started("null", gib=1.5) as place:
        return _measure(site, place, most)


def _measure(site: Site, place: Place, most: int) -> list[dict[str, Any]]:
    at = (place.root, place.environ(place.port))
    contestants = {
        ("local disk", "ckptptr"): (Worker("ckptptr (fsspec)", str(site.scratch), {}), most),
        ("null", "ckptptr"): (Worker("ckptptr (obstore)", *at), most),
        ("null", "stock"): (Worker("stock", *at), most // 10),
    }
    found = []
    for (where, client), (worker, limit) in contestants.items():
        with worker:
            worker.warm_up()
            for count in (each for each in FILES if each <= limit):
                took = _costs(site, place, worker, count)
                found.append({"where": where, "client": client, "files": count, **took})
                print(f"growth    {count} files, {where}, {client}: {took}", flush=True)
    return found


def _costs(site: Site, place: Place, worker: Worker, count: int) -> dict[str, float]:
    """Seconds of each operation; `peak` bytes of memory; `requests` of a save."""
    source, target = site.scratch / "files", site.scratch / "files-restored"
    took: dict[str, list[float]] = {"save": [], "restore": [], "peak": [], "requests": []}
    for number in range(TIMES if count <= 1000 else 1):
        write(Row("", count, SIZE), source)
        target.mkdir()
        name = f"files-{count}-{number}"
        for operation, path in (("save", source), ("restore", target)):
            worker.prepare(operation, name)
            answered = place.requests() or 0
            cost = worker.run(operation, path, name)
            took[operation].append(cost.seconds)
            took["peak"].append(cost.peak)
            if operation == "save":
                took["requests"].append((place.requests() or 0) - answered)
        place.reset()
        shutil.rmtree(source)
        shutil.rmtree(target)
    return {what: (max if what == "peak" else median)(each) for what, each in took.items()}
