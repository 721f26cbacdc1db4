"""The ranks of one training, which save their parts at the same time, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from benchmarks.scale import KIND_OF, WRITE, parts
from tests.soak.gauges import Meter, Row
from tests.soak.site import Site

AT_ONCE = 16
WARM = 15
"""Sets before anything is compared: from then on each set has one to sweep. Of 100 sets no search for orphans
(after each fiftieth save) is in the first or in the last ten."""


def ranks(site: Site, size: int, stretches: int, world: int = 64) -> list[Row]:
    """All but one contribute at once; the last one finds all parts, and commits. So no rank waits, and the
    writes must be those of docs/scale.md; its reads and lists do not count the sweep."""
    with ExitStack() as stack:
        log = stack.enter_context(site.counted())
        runs = [stack.enter_context(site.open("ranks", attempt=0, round="round")) for _ in range(world)]
        threads = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        ours = [run.parts(rank, world) for rank, run in enumerate(runs)]
        meter = Meter(site, log)

        def contribute(rank: int) -> None:
            ours[rank].contribute(_shard(site, rank, step), step=step)

        for step in meter.turns(size, stretches, warm=WARM):
            list(threads.map(contribute, range(world - 1)))
            ours[-1].save(_shard(site, world - 1, step), step=step)
            runs[-1].wait()
        _find_all(site, world, step)
        return [*meter.rows(), *_documented(site, meter, world)]


def _shard(site: Site, rank: int, step: int) -> Path:
    return site.folder(f"rank-{rank}", **{f"shard-{rank}": f"{step}"})


def _find_all(site: Site, world: int, step: int) -> None:
    with site.open("ranks", attempt=1) as later:
        restored = later.restore()
        assert restored is not None
        found = {path.name: path.read_text() for path in restored.iterdir()}
        assert found == {f"shard-{rank}": str(step) for rank in range(world)}


def _documented(site: Site, meter: Meter, world: int) -> Iterator[Row]:
    expected = parts(site.scratch, world).count(WRITE)
    last = meter.stretches[-1].requests
    writes = sum(count for kind, count in last.items() if KIND_OF[kind] == WRITE)
    yield Row("writes, as docs/scale.md", expected, writes, expected)
