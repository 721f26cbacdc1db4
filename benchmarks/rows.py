"""What is moved: the rows of the table, made of bytes that nothing can compress."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Row:
    """`count` files of `size` bytes. `changed` of them differ from what was saved or restored before;
    all of them where there was nothing before."""

    name: str
    count: int
    size: int
    changed: int = 0

    @property
    def bytes(self) -> int:
        return self.count * self.size


def rows(scale: float) -> list[Row]:
    """The rows of the goals; `scale` 1 means 1 GiB in the first two."""
    return [
        Row("one large", 1, max(1, int(1024 * scale)) * MIB),
        Row("64 medium", max(1, int(64 * scale)), 16 * MIB),
        Row("2000 small", max(1, int(2000 * scale)), 64 * 1024),
        Row("95 % unchanged", 20, max(1, int(50 * scale)) * MIB, changed=1),
    ]


def write(row: Row, folder: Path) -> None:
    """Its files, in a folder that is new."""
    folder.mkdir(parents=True)
    for number in range(row.count):
        _write_one(folder, number, row.size)


def change(row: Row, folder: Path) -> None:
    """Write some of the files anew, as a step of training does."""
    for number in range(row.changed):
        _write_one(folder, number, row.size)


def change_all(folder: Path) -> None:
    """Change some bytes in each MiB of each file; no size changes."""
    for path in folder.iterdir():
        with path.open("r+b", buffering=0) as file:
            for start in range(0, path.stat().st_size, MIB):
                os.pwrite(file.fileno(), os.urandom(8), start)


def touch(size: int, folder: Path) -> None:
    """Have the system find memory for so many bytes of files, and free it: a page that was never used costs
    up to 2.5 CPU seconds a GiB on a virtual machine, which would be the time of who comes first."""
    path, block = folder / "touched", bytes(MIB)
    with path.open("wb", buffering=0) as file:
        for _ in range(0, size, MIB):
            file.write(block)
    path.unlink()


def _write_one(folder: Path, number: int, size: int) -> None:
    with (folder / f"part-{number:05}.bin").open("wb") as file:
        for start in range(0, size, 64 * MIB):
            file.write(os.urandom(min(64 * MIB, size - start)))
