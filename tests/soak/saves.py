"""One attempt that saves and saves: one file that changes, one that stays, and the default retention."""

from __future__ import annotations

from benchmarks.scale import steady_save
from ckptptr.checkpoints import Checkpoints
from ckptptr.session.session import SEARCH_EVERY
from tests.soak.gauges import Meter, Row
from tests.soak.site import Site


def saves(site: Site, size: int, stretches: int) -> list[Row]:
    """Each save waits for its sweep: what it sends is exact."""
    with site.counted() as log, site.open("saves", attempt=0) as run:
        meter = Meter(site, log)
        _fill(run)
        for step in meter.turns(size, stretches, warm=SEARCH_EVERY):
            run.save(site.folder("saved", model=str(step), frozen="same"), step=step)
            run.wait()
        return meter.rows()


def hurried_saves(site: Site, size: int, stretches: int) -> list[Row]:
    """No save waits for a sweep. Those that share one send less than those that wait, and hardly ever more: a
    search for orphans may meet what is not swept yet."""
    most = sum(steady_save(site.scratch).by_kind.values()) + 1
    with site.counted() as log, site.open("hurried", attempt=0) as run:
        meter = Meter(site, log, run.wait, at_most=most)
        _fill(run)
        for step in meter.turns(size, stretches, warm=SEARCH_EVERY):
            run.save(site.folder("saved", model=str(step), frozen="same"), step=step)
        return meter.rows()


def _fill(run: Checkpoints) -> None:
    """The times of the last saves, of which a session keeps a limited number: as full as they become."""
    saved_in = run._session.saved_in
    saved_in.extend((f"{number}", float(number)) for number in range(saved_in.maxlen or 0))
