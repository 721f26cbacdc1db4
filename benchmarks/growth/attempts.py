"""After 1, 10 and 100 attempts: a restore through LATEST; and what an attempt sends that saves once, until
it is closed. Its search for orphans, in the background, looks into the home of each attempt."""

from __future__ import annotations

from typing import Any

from benchmarks.growth.site import Site, seconds

ATTEMPTS = (1, 10, 100)


def measure(site: Site, _: int) -> list[dict[str, Any]]:
    found = []
    for attempt in range(max(ATTEMPTS)):
        counted = attempt + 1 in ATTEMPTS
        with site.open("attempts", attempt=attempt, counted=counted) as checkpoints:
            saved = site.requests(lambda: checkpoints.save(b"x"))
            checkpoints.wait()
            closed = len(site.proxy.log)
        if counted:
            found.append(
                {"attempts": attempt + 1, "save": len(saved), "until_closed": closed, **_restore(site)}
            )
            print(f"growth    {found[-1]}", flush=True)
    return found


def _restore(site: Site) -> dict[str, Any]:
    with site.open("attempts", read_only=True) as reader:
        site.restored(reader)
        took = seconds(lambda: site.restored(reader))
    with site.open("attempts", counted=True, read_only=True) as reader:
        requests = site.requests(lambda: site.restored(reader))
    return {"restore": took, "requests": requests}
