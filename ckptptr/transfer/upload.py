"""Upload local files, digested on the way: what the digest saw is what was sent."""

from __future__ import annotations

import math
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ckptptr.errors import InvalidArgumentError, LocalDiskError, StoreUnavailableError
from ckptptr.stores.port import Store
from ckptptr.transfer.digest import Digest
from ckptptr.transfer.plan import MIB, ONE_REQUEST, UNKNOWN, Local, block_for, ranges
from ckptptr.transfer.pool import run_all
from ckptptr.transfer.progress import SAVING, Progress, Showing

_SIDE_BY_SIDE = ((MIB, 32), (ONE_REQUEST // 2, 16), (ONE_REQUEST, 8))
"""Up to which size how many files go at once: what they hold in memory stays below 128 MiB."""

LARGE_AT_ONCE = 3
"""Larger ones: each sends its own blocks side by side, and the store bounds their number in all."""


class Sent(NamedTuple):
    """What was sent of a file: how many bytes, and their digest."""

    size: int
    digest: str


def upload_all(store: Store, files: Sequence[tuple[Local, str]], showing: Showing = SAVING) -> list[Sent]:
    """Upload `(file, key)` pairs; what was sent, in order.

    Files of similar size go side by side, fewer the larger they are: so memory stays bounded.

    Raises:
        InvalidArgumentError: a file changed while it was read.
        LocalDiskError: a file could not be read.
        StoreUnavailableError: the store did not take it, or not all of it.
    """
    sent: dict[str, Sent] = {}
    unproven: dict[str, int] = {}
    rest = sorted(files, key=lambda pair: _size(pair[0]))
    with showing(sum(file.size for file, _ in files if file.size != UNKNOWN)) as progress:
        for limit, workers in (*_SIDE_BY_SIDE, (None, LARGE_AT_ONCE)):
            now = [pair for pair in rest if limit is None or _size(pair[0]) <= limit]
            rest = rest[len(now) :]
            done = run_all(lambda pair: _upload(store, *pair, progress), now, workers=workers)
            for (_, key), (each, is_proven) in zip(now, done, strict=True):
                sent[key] = each
                if not is_proven:
                    unproven[key] = each.size
    _check_listed(store, unproven)
    return [sent[key] for _, key in files]


def _check_listed(store: Store, sizes: Mapping[str, int]) -> None:
    """Where no checksum has proven that all of it arrived, the sizes have to: one listing for all."""
    if not sizes:
        return
    folder = posixpath.commonpath([key.rpartition("/")[0] for key in sizes])
    listed = {entry.key: entry.size for entry in store.list(folder)}
    for key, size in sizes.items():
        if listed.get(key) != size:
            raise StoreUnavailableError(
                f"sent {size} bytes, the store has {listed.get(key, 'nothing')}", key=store.url(key)
            )


def _size(file: Local) -> float:
    return math.inf if file.size == UNKNOWN else file.size


def _upload(store: Store, file: Local, key: str, progress: Progress) -> tuple[Sent, bool]:
    blocks = _Blocks(file, store.block_size, progress)
    is_proven = store.upload(key, blocks)
    return Sent(blocks.digest.size, blocks.digest.hex()), is_proven


class _Blocks:
    """A file's blocks, digested as they are taken. Its length hint tells a store how many there will be."""

    def __init__(self, file: Local, block: int, progress: Progress) -> None:
        self._file = file
        self._block = block if file.size == UNKNOWN else block_for(file.size, block)
        self._progress = progress
        self.digest = Digest()

    def __length_hint__(self) -> int:
        if self._file.size == UNKNOWN:
            return NotImplemented  # type: ignore[no-any-return]
        return -(-self._file.size // self._block) if self._file.size else 0

    def __iter__(self) -> Iterator[bytes]:
        return self._progress.over(self.digest.over(_blocks(self._file, self._block)))


def _blocks(file: Local, block: int) -> Iterator[bytes]:
    if isinstance(file.source, bytes):
        view = file.source
        yield from (view[part.start : part.start + part.length] for part in ranges(len(view), block))
    elif isinstance(file.source, Path):
        yield from _read(file, file.source, block)
    else:
        yield from file.source.blocks()


def _read(file: Local, path: Path, block: int) -> Iterable[bytes]:
    """The file's blocks, and an error at the end where it changed while it was read."""
    sent = 0
    try:
        with path.open("rb", buffering=0) as source:
            before = os.fstat(source.fileno())
            while data := _full_read(source.fileno(), block):
                sent += len(data)
                yield data
            after = os.fstat(source.fileno())
    except OSError as error:
        raise LocalDiskError(f"cannot read the file ({error.strerror})", key=str(path)) from error
    if sent != file.size or (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise InvalidArgumentError(
            "the file changed while it was being saved", key=str(path), hint="Save it when it is finished"
        )


def _full_read(descriptor: int, length: int) -> bytes:
    """Up to `length` bytes; fewer only at the end of the file, where `os.read` may stop anywhere."""
    parts: list[bytes] = []
    while length and (part := os.read(descriptor, length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
