"""What there is to move: local files with a name, and byte ranges of objects."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ckptptr.errors import InvalidArgumentError, LocalDiskError
from ckptptr.hidden import HIDDEN
from ckptptr.protocol.manifest import check_path

MIB = 1 << 20

ONE_REQUEST = 16 * MIB
"""Files of two blocks, but no more than this, are sent in one request each, several at a time."""

MAX_PARTS = 9_000
"""Fewer than any store takes of one object (S3: 10,000)."""

_USUAL_MODE = 0o644


class Blocks(Protocol):
    """A file that is written while it is sent."""

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, in blocks of the store's size; can be asked for once."""


UNKNOWN = -1
"""The size of a file that is written while it is sent."""


@dataclass(frozen=True, slots=True)
class Local:
    """A file to upload: on disk, in memory, or written while it is sent.

    `path` is its name in the checkpoint; `mode` its permission bits where they are not 0o644.
    """

    path: str
    source: Path | bytes | Blocks
    size: int
    mode: int | None = None


@dataclass(frozen=True, slots=True)
class Range:
    """`length` bytes from offset `start`."""

    start: int
    length: int


def ranges(size: int, block: int) -> Iterator[Range]:
    """The ranges that make up an object of `size` bytes, each but the last `block` long."""
    for start in range(0, size, block):
        yield Range(start, min(block, size - start))


def block_for(size: int, block: int) -> int:
    """The length of the blocks in which to send a file of `size` bytes to a store that likes `block`.

    A file that fits into one request is one block; an enormous one gets larger blocks, so that no store's
    limit of parts is met.
    """
    if size <= min(2 * block, ONE_REQUEST):
        return max(block, size)
    needed = -(-size // MAX_PARTS)
    return block if needed <= block else -(-needed // MIB) * MIB


def one_file(path: Path, name: str | None = None) -> Local:
    """A file under its own name, or another.

    Raises:
        InvalidArgumentError: it is not a regular file.
        LocalDiskError: it cannot be looked at.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise LocalDiskError(f"cannot read the file ({error.strerror})", key=str(path)) from error
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgumentError("neither a file nor a folder", key=str(path))
    mode = stat.S_IMODE(status.st_mode)
    return Local(check_path(name or path.name), path, status.st_size, None if mode == _USUAL_MODE else mode)


def folder(top: Path) -> tuple[list[Local], list[str]]:
    """`(files, empty folders)` below `top`, by name.

    A symbolic link is taken as what it points to, which must be inside the folder.

    Raises:
        InvalidArgumentError: a link leaves the folder, leads nowhere or goes round in a circle; a
            socket or the like.
        LocalDiskError: something cannot be looked at.
    """
    try:
        found = list(_walk(top, _real(top), (), ""))
    except OSError as error:
        raise LocalDiskError(
            f"cannot read the folder ({error.strerror})", key=str(error.filename or top)
        ) from error
    files = [item for item in found if isinstance(item, Local)]
    return files, [item for item in found if isinstance(item, str)]


def _walk(here: Path, top: Path, above: tuple[Path, ...], name: str) -> Iterator[Local | str]:
    real = _real(here)
    if real in above:
        raise InvalidArgumentError("a symbolic link goes round in a circle", key=str(here))
    children = sorted(os.scandir(here), key=lambda child: child.name)
    children = [child for child in children if not child.name.startswith(HIDDEN)]
    if not children and name:
        yield check_path(name)
    for child in children:
        path, inside = Path(child.path), f"{name}/{child.name}" if name else child.name
        if child.is_symlink():
            _check_link(path, top)
        if child.is_dir():
            yield from _walk(path, top, (*above, real), inside)
        else:
            yield one_file(path, inside)


def _check_link(link: Path, top: Path) -> None:
    target = _real(link)
    if not target.exists():
        raise InvalidArgumentError(f"a symbolic link leads nowhere (to {target})", key=str(link))
    if not target.is_relative_to(top):
        raise InvalidArgumentError(
            f"a symbolic link leaves the folder that is saved (to {target})", key=str(link)
        )


def _real(path: Path) -> Path:
    """`path` without symbolic links; `Path.resolve` raises where they point at each other."""
    return Path(os.path.realpath(path))
