"""Map indices at once on one bucket: each saves, and its next attempt restores just that and saves again."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tests.soak.gauges import Gauges, Row, grown
from tests.soak.site import Site, kinds

SAVES = 5
PROCESSES = 4
"""In each of them an index is a thread."""
THREADS_EACH = 2.5
"""Of an open index: its own, that of its background work, and some that move payload."""
MEMORY_EACH = 0.5
"""MiB of an open index."""


def indices(site: Site, size: int, _: int) -> list[Row]:
    """In several processes; of each row the worst one counts."""
    each = size // PROCESSES
    sites = [replace(site, scratch=site.scratch / str(number)) for number in range(PROCESSES)]
    ranges = [range(number * each, (number + 1) * each) for number in range(PROCESSES)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        told = pool.starmap(in_threads, zip(sites, ranges, strict=True))
    return [max(rows, key=lambda row: row.last - row.limit) for rows in zip(*told, strict=True)]


def in_threads(site: Site, numbers: range) -> list[Row]:
    """One process: an index alone, then all at once, then as many others. Of many, each sends what one sends
    that is alone, and the second time nothing grows."""
    with site.counted() as log:
        _at_once(site, [f"{numbers[0]}-alone"])
        alone, before = kinds(log), Gauges.now()
        all_open = _at_once(site, [f"{number}" for number in numbers])
        sent, first = kinds(log), Gauges.now()
        _at_once(site, [f"{number}-again" for number in numbers])
        log.clear()  # its requests are no growth
        last, count = Gauges.now(), len(numbers)
    threads, memory = before.threads + THREADS_EACH * count, before.memory + 16 + MEMORY_EACH * count
    return [
        *(Row(f"requests: {kind}", alone[kind], sent[kind] / count, alone[kind]) for kind in alone),
        Row("threads, all open", before.threads, all_open.threads, threads),
        Row("memory, MiB, all open", before.memory, all_open.memory, memory),
        *grown(first, last, count),
    ]


def _at_once(site: Site, names: Sequence[str]) -> Gauges:
    """A thread for each; the gauges while all of them are open."""
    found: list[Gauges] = []
    all_open = threading.Barrier(len(names), lambda: found.append(Gauges.now()))
    with ThreadPoolExecutor(len(names)) as threads:
        lives = [threads.submit(_life, site, name, all_open) for name in names]
    errors = [error for life in lives if (error := life.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error
    return found[0]


def _life(site: Site, index: str, all_open: threading.Barrier) -> None:
    name = f"_ckptptr/soak/development/execution/n0-0-n{index}"
    try:
        with site.open(name, attempt=0) as run:
            assert run.restore() is None, f"index {index} has restored another one's"
            for step in range(SAVES):
                run.save(f"index {index}, step {step}".encode(), step=step)
                run.wait()
            all_open.wait()
        with site.open(name, attempt=1) as later:
            restored = later.restore()
            assert restored is not None
            (found,) = (path.read_text() for path in restored.iterdir())
            assert found == f"index {index}, step {SAVES - 1}", f"index {index} has restored {found!r}"
            later.save(b"the end", step=SAVES)
    except BaseException:
        all_open.abort()
        raise
