"""How cost grows: with attempts, with history, with the number of files; and what must not grow with size:
memory, and what a forward copy sends through this machine. All on S3, or on a local disk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth import attempts, copies, files, history, memory
from benchmarks.growth.site import Site
from benchmarks.places import environment, started
from tests.servers.proxy import FaultProxy

PARTS: dict[str, Callable[[Site, int], Any]] = {
    "attempts": attempts.measure,
    "history": history.measure,
    "forward_copy": copies.measure,
    "files": files.measure,
    "memory": memory.measure,
}


def measure(
    parts: Sequence[str], most_files: int, scratch: Path | None = None, server_dir: Path | None = None
) -> dict[str, Any]:
    """The parts asked for, by name. `most_files`: at most; a tenth of it for stock."""
    with (
        started("s3", server_dir) as place,
        FaultProxy(f"http://127.0.0.1:{place.port}") as proxy,
        environment(place.environ(place.port)),
        tempfile.TemporaryDirectory(dir=scratch) as folder,
    ):
        site = Site(place, proxy, Path(folder))
        return {name: PARTS[name](site, most_files) for name in PARTS if name in parts}
