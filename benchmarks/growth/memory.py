"""A file larger than any buffer: what a save and a restore hold at most, above the interpreter."""

from __future__ import annotations

from benchmarks.growth.site import Site
from benchmarks.worker import Worker

HUGE = 4 << 30


def measure(site: Site, _: int) -> dict[str, int]:
    source, target = site.scratch / "huge.bin", site.scratch / "huge"
    with source.open("wb") as file:
        file.truncate(HUGE)
    target.mkdir()
    with Worker("ckptptr (fsspec)", str(site.scratch), {}) as worker:
        worker.warm_up()
        found = {"bytes": HUGE}
        for operation, path in (("save", source), ("restore", target)):
            worker.prepare(operation, "huge-store")
            found[operation] = worker.run(operation, path, "huge-store").peak
    return found
