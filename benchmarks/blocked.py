"""How long a training loop is blocked by a save of one file, on SeaweedFS over loopback.

    python -m benchmarks.blocked [MIB]

They take turns: stock flytekit's save, ours, ours with `block=False` (the file is copied first), with
`block=False, consume=True` (it is renamed), and of bytes. `sent` is when the checkpoint was confirmed. Each
has saved once before anything is timed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from benchmarks.places import environment, started

ROUNDS = 5
STOCK = "stock"
BACKGROUND = ("save(block=False), copied", "save(block=False, consume=True)", "save(bytes, block=False)")
"""Those that return before the checkpoint is sent."""


def main() -> None:
    from benchmarks.report.blocked import table

    print(table(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 256)))


def measure(mib: int, scratch: Path | None = None, server_dir: Path | None = None) -> dict[str, Any]:
    """Seconds for each contestant and round.

    Args:
        mib: size of the file.
        scratch: a folder for it.
        server_dir: where the server keeps its data.
    """
    with (
        started("s3", server_dir) as place,
        environment(place.environ(place.port)),
        tempfile.TemporaryDirectory(dir=scratch) as folder,
    ):
        return {"bytes": mib << 20, "records": _measure(place.root, Path(folder, "model.bin"), mib << 20)}


def _measure(root: str, file: Path, size: int) -> list[dict[str, Any]]:
    import ckptptr
    from benchmarks.clients import Stock

    flytekit = Stock(root)
    checkpoints = ckptptr.open(
        f"{root}/run", attempt=0, storage_options={"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    )
    data = os.urandom(size)
    state = data
    contestants: dict[str, Callable[[], object]] = {
        STOCK: lambda: flytekit.save(file, f"stock-{time.monotonic_ns()}"),
        "save": lambda: checkpoints.save(file),
        BACKGROUND[0]: lambda: checkpoints.save(file, block=False),
        BACKGROUND[1]: lambda: checkpoints.save(file, block=False, consume=True),
        BACKGROUND[2]: lambda: checkpoints.save(state, block=False),
    }
    records = []
    for number in range(-1, ROUNDS):
        for name, save in contestants.items():
            content = data if number >= 0 else data[:1024]
            mark = f"{number} {name}".encode()  # nothing is as it was before
            state = mark + content
            file.write_bytes(state)
            began = time.perf_counter()
            returned = save()
            blocked = time.perf_counter() - began
            if isinstance(returned, Future):
                returned.result()
            sent = time.perf_counter() - began
            checkpoints.wait()  # until nothing is swept any more
            if number >= 0:
                records.append({"client": name, "round": number, "blocked": blocked, "sent": sent})
                print(f"blocked   {name:34} {blocked:8.4f} of {sent:6.2f} s", flush=True)
    checkpoints.close()
    return records


if __name__ == "__main__":
    main()
