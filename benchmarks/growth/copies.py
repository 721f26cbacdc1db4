"""What a forward copy sends through this machine."""

from __future__ import annotations

from benchmarks.growth.site import Site
from benchmarks.rows import MIB, Row, write
from ckptptr.stores.open import open_store


def measure(site: Site, _: int) -> dict[str, int]:
    row = Row("", 4, 32 * MIB)
    write(row, site.scratch / "payload")
    with site.open("forward", attempt=0) as checkpoints:
        checkpoints.save(site.scratch / "payload")
    with site.open("forward", attempt=1) as checkpoints:
        checkpoints.save(b"x")  # so that what is restored next is not what LATEST names
        earlier = checkpoints.history()[1].reference
    with site.open("forward", counted=True, attempt=2) as checkpoints:
        _hold(f"{site.place.root}/forward", earlier)
        site.restored(checkpoints)
        site.proxy.reset()
        checkpoints.wait()
        log = site.proxy.log
    return {
        "payload": row.bytes,
        "requests": len(log),
        "sent": sum(seen.received for seen in log),
        "received": sum(seen.sent for seen in log),
    }


def _hold(url: str, reference: str) -> None:
    store, key = open_store(url)
    _, token = store.read(f"{key}/LATEST")
    store.replace(f"{key}/LATEST", reference.encode(), token)
