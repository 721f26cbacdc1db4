"""A checkpoint of 10 to 100,000 small files: on a local disk, where only our own cost is left, and on S3
beside stock."""

from __future__ import annotations

import shutil
from statistics import median
from typing import Any

from benchmarks.growth.site import Site
from benchmarks.rows import Row, write
from benchmarks.worker import Worker

FILES = (10, 100, 1000, 10_000, 100_000)
SIZE = 100
TIMES = 3  # up to 1000 files; of more, once


def measure(site: Site, most: int) -> list[dict[str, Any]]:
    s3 = (site.place.root, site.place.environ(site.place.port))
    contestants = {
        ("local disk", "ckptptr"): (Worker("ckptptr (fsspec)", str(site.scratch), {}), most),
        ("s3", "ckptptr"): (Worker("ckptptr (obstore)", *s3), most // 10),
        ("s3", "stock"): (Worker("stock", *s3), most // 10),
    }
    found = []
    for (where, client), (worker, limit) in contestants.items():
        with worker:
            worker.warm_up()
            for count in (each for each in FILES if each <= limit):
                took = _seconds(site, worker, count)
                found.append({"where": where, "client": client, "files": count, **took})
                print(f"growth    {count} files, {where}, {client}: {took}", flush=True)
    return found


def _seconds(site: Site, worker: Worker, count: int) -> dict[str, float]:
    source, target = site.scratch / "files", site.scratch / "files-restored"
    took: dict[str, list[float]] = {"save": [], "restore": []}
    for number in range(TIMES if count <= 1000 else 1):
        write(Row("", count, SIZE), source)
        target.mkdir()
        name = f"files-{count}-{number}"
        for operation, path in (("save", source), ("restore", target)):
            worker.prepare(operation, name)
            took[operation].append(worker.run(operation, path, name).seconds)
        shutil.rmtree(source)
        shutil.rmtree(target)
    return {operation: median(each) for operation, each in took.items()}
