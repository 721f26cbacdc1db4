"""Attempt after attempt of one node: each restores, and saves once. Some are processes of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping
from typing import Any

from tests.soak.gauges import Meter, Row
from tests.soak.site import Site

FLYTE = "_ckptptr/soak/development/execution/n0"
WARM = 20
"""Attempts before anything is compared: the searches look at the nearest ten."""


def attempts(site: Site, size: int, stretches: int, *, own_process: bool = False) -> list[Row]:
    """Of a node of Flyte. In the first and in the last stretch one is a process of its own, if wanted."""
    with site.counted() as log:
        meter = Meter(site, log)
        others = (WARM, WARM + size // stretches * (stretches - 1)) if own_process else ()
        for number in meter.turns(size, stretches, warm=WARM):
            if number in others:
                _in_its_own_process(site, number)
            else:
                one(site, FLYTE, number, attempt=number)
        return meter.rows()


def claimed_attempts(site: Site, size: int, stretches: int) -> list[Row]:
    """Outside Flyte, where each attempt claims the next number, and leaves its claim.

    On a disk and on SeaweedFS its home stays too, empty: there the search for orphans takes longer with each
    attempt, see section 9 of PROTOCOL.md. So `make soak` tells it on a server without folders.
    """
    with site.counted() as log:
        meter = Meter(site, log, more_objects=1)
        for number in meter.turns(size, stretches, warm=WARM):
            one(site, "claimed", number)
        return meter.rows()


def one(site: Site, name: str, number: int, **settings: Any) -> None:
    """One attempt, which must find what the one before has saved."""
    with site.open(name, **settings) as run:
        restored = run.restore()
        found = None if restored is None else (restored / "model").read_text()
        assert found == (str(number - 1) if number else None), f"attempt {number} has restored {found}"
        run.save(site.folder("saved", model=str(number), frozen="same"), step=number)


def _in_its_own_process(site: Site, number: int) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_process, args=(site.url, site.scratch, dict(site.options), number)
    )
    process.start()
    process.join()
    assert process.exitcode == 0, f"attempt {number} ended with {process.exitcode}"


def _process(url: str, scratch: Any, options: Mapping[str, Any], number: int) -> None:
    one(Site(url, scratch, options), FLYTE, number, attempt=number)
