"""What a file costs to hold on to while it is uploaded and the program may change it.

    python -m benchmarks.snapshots [MIB] [FOLDER]

Milliseconds before `save(block=False)` could return, in a folder of the disk that is measured. The ways take
turns; the file has just been written, as a training loop does. A digest is what a change would be found by
after an upload in place. A way that this disk does not have is left out.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import xxhash

ROUNDS = 7
_MIB = 1 << 20
_CLONE = 0x40049409
"""`FICLONE`: the copy shares all blocks, or there is none."""


def copy_in_kernel(source: Path, target: Path) -> None:
    """What ckptptr does."""
    with source.open("rb") as old, target.open("wb") as new:
        while os.copy_file_range(old.fileno(), new.fileno(), 1 << 30):
            pass


def copy_here(source: Path, target: Path) -> None:
    with source.open("rb", buffering=0) as old, target.open("wb", buffering=0) as new:
        while data := old.read(_MIB):
            new.write(data)


def copy_into_memory(source: Path, _: Path) -> None:
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as new:
        shutil.copyfile(source, new.name)


def clone(source: Path, target: Path) -> None:
    with source.open("rb") as old, target.open("wb") as new:
        fcntl.ioctl(new, _CLONE, old.fileno())


def hard_link(source: Path, target: Path) -> None:
    target.hardlink_to(source)


def lease(source: Path, _: Path) -> None:
    """The kernel tells before another opens the file to write; not of a writer that has it open or mapped."""
    with source.open("rb") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def digest(source: Path, _: Path) -> None:
    state = xxhash.xxh3_128()
    with source.open("rb", buffering=0) as file:
        while data := file.read(_MIB):
            state.update(data)


WAYS: tuple[Callable[[Path, Path], None], ...] = (
    *(copy_in_kernel, copy_here, copy_into_memory, clone, hard_link, lease, digest),
)


def measure(mib: int, folder: Path | None = None, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of each way, in the order of the rounds."""
    taken: dict[str, list[float]] = {}
    data = os.urandom(mib * _MIB)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        source, target = Path(place, "source"), Path(place, "target")
        for _ in range(rounds):
            for way in WAYS:
                source.unlink(missing_ok=True)
                source.write_bytes(data)
                began = time.perf_counter()
                with suppress(OSError):
                    way(source, target)
                    taken.setdefault(way.__name__, []).append(time.perf_counter() - began)
                target.unlink(missing_ok=True)
    return taken


def main() -> None:
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    for name, seconds in measure(mib, Path(sys.argv[2]) if len(sys.argv) > 2 else None).items():
        least, most = min(seconds), max(seconds)
        middle = statistics.median(seconds)
        print(f"{name:18} {1e3 * middle:9.2f} ms, {1e3 * least:.2f} to {1e3 * most:.2f}")


if __name__ == "__main__":
    main()
