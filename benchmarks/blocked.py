"""How long a training loop is blocked by a save, on SeaweedFS over loopback.

    python -m benchmarks.blocked [MIB]

One file, five rounds, alternating: stock flytekit's save, ours, ours with `block=False` (the file is copied
first), with `block=False, consume=True` (it is renamed), and of bytes. `sent` is when the checkpoint was
confirmed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.places import started


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    with started("s3") as place, tempfile.TemporaryDirectory() as scratch:
        os.environ.update(place.environ(place.port))
        _measure(place.root, Path(scratch, "model.bin"), size)


def _measure(root: str, file: Path, size: int) -> None:
    from flytekit.core.checkpointer import SyncCheckpoint

    import ckptptr

    checkpoints = ckptptr.open(f"{root}/run", attempt=0)
    data = os.urandom(size << 20)

    def stock() -> None:
        SyncCheckpoint(checkpoint_dest=f"{root}/stock-{time.monotonic_ns()}").save(file)

    state = data

    contestants: dict[str, Callable[[], object]] = {
        "stock": stock,
        "save": lambda: checkpoints.save(file),
        "save(block=False)": lambda: checkpoints.save(file, block=False),
        "save(block=False, consume=True)": lambda: checkpoints.save(file, block=False, consume=True),
        "save(bytes, block=False)": lambda: checkpoints.save(state, block=False),
    }
    blocked: dict[str, list[float]] = {name: [] for name in contestants}
    sent: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(5):
        for name, save in contestants.items():
            state = number.to_bytes(1, "big") + data
            file.write_bytes(number.to_bytes(1, "big") + name.encode() + data)  # nothing is as it was before
            began = time.perf_counter()
            save()
            blocked[name].append(time.perf_counter() - began)
            checkpoints.wait()
            sent[name].append(time.perf_counter() - began)
    print(f"| {size} MiB | blocked, s | sent, s | blocked / sent |\n|---|---:|---:|---:|")
    for name in contestants:
        waited, took = median(blocked[name]), median(sent[name])
        print(f"| {name} | {waited:.4f} | {took:.2f} | {waited / took:.2%} |")


if __name__ == "__main__":
    main()
