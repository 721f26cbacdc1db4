"""Upload local files, digested on the way: what the digest saw is what was sent."""

from __future__ import annotations

import logging
import math
import os
import posixpath
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeAlias

from ckptptr.errors import StoreUnavailableError
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.capacity import MANY, capacity_of
from ckptptr.stores.port import Store, UploadGoneError
from ckptptr.transfer.digest import Digest
from ckptptr.transfer.folder import tell_missing
from ckptptr.transfer.pace import Pace
from ckptptr.transfer.plan import MIB, ONE_REQUEST, UNKNOWN, Local, ranges
from ckptptr.transfer.pool import FEWER, run_all
from ckptptr.transfer.progress import SAVING, Progress, Showing
from ckptptr.transfer.steady import Steady, steadily

SideBySide: TypeAlias = tuple[tuple[int | None, int, int], ...]
"""Up to which size how many files go at once at first, and at most."""

SIDE_BY_SIDE: SideBySide = (
    (MIB, FEWER, MANY),
    (ONE_REQUEST // 2, 16, 16),
    (ONE_REQUEST, 12, 12),
    (4 * ONE_REQUEST, 4, 4),
    (None, 3, 3),
)
"""They hold less than 192 MiB in memory. Larger ones send their own blocks side by side."""
_BLOCKS = 30
"""Blocks of several larger files under way, of all together. Each has its share: where one takes all, the C
library keeps the memory of each thread, and so twice as much is held."""

log = logging.getLogger("ckptptr")


class _Way:
    """How the files of one transfer go to a store."""

    def __init__(self, store: Store, home: str, object_of: Callable[[str], str], progress: Progress) -> None:
        self.store = store
        self.home = home
        self.object_of = object_of
        self.progress = progress
        self.pace = Pace(store, progress.measured.clock)
        self.unproven: dict[str, int] = {}
        """The sizes of objects of which no checksum has proven that all arrived."""
        self.share = sys.maxsize
        """Blocks of each file that may be under way at once."""


def upload_all(
    store: Store,
    home: str,
    files: Collection[Local],
    object_of: Callable[[str], str],
    showing: Showing = SAVING,
    *,
    side_by_side: SideBySide = SIDE_BY_SIDE,
) -> list[FileRecord]:
    """Upload files; their records, in any order. One that is not there any more has none.

    Files of similar size go side by side, fewer the larger they are: so memory stays bounded. A file that
    grows is sent as long as it was when it was planned; one that changes otherwise is read again.

    Args:
        object_of: gives the object of a path, relative to `home`.

    Raises:
        LocalDiskError: a file could not be read, changed again and again, or is gone with its whole folder.
        StoreUnavailableError: the store did not take it, or not all of it.
    """
    sent: list[FileRecord] = []
    missing: list[Local] = []
    rest = sorted(files, key=_size)
    with showing(sum(file.size for file in files if file.size != UNKNOWN)) as progress:
        way = _Way(store, home, object_of, progress)
        for limit, few, most in side_by_side:
            now = [file for file in rest if limit is None or _size(file) <= limit]
            rest = rest[len(now) :]
            are_large = len(now) > 1 and (limit is None or limit > ONE_REQUEST)
            way.share = _BLOCKS // min(most, len(now)) if are_large else sys.maxsize
            done = run_all(
                lambda file: _upload(way, file),
                now,
                workers=few,
                most=min(most, capacity_of(store).requests),
                moved=lambda: progress.measured.answered,
            )
            sent += (record for record in done if record is not None)
            missing += (file for file, record in zip(now, done, strict=True) if record is None)
    _check_listed(store, way.unproven)
    tell_missing(missing)
    return sent


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


def _upload(way: _Way, file: Local) -> FileRecord | None:
    object_ = way.object_of(file.path)
    key = f"{way.home}/{object_}"

    def send(file: Local, may_grow: bool) -> tuple[Digest, bool]:
        blocks = _Blocks(file, way, may_grow=may_grow)
        try:
            with way.pace.sending(file.size, blocks.size), way.progress.measured.request(max(0, file.size)):
                is_proven = way.store.upload(key, blocks)
        except UploadGoneError as error:
            # The listing tells. The name has this checkpoint's random id: what is there in that size is ours.
            log.warning("%s; ckptptr looks whether the object is complete", error)
            is_proven = False
        except StoreUnavailableError as error:
            if type(error) is not StoreUnavailableError or file.size <= MIB:
                raise
            raise _so_far(error, blocks.digest.size, file.size) from error
        return blocks.digest, is_proven

    done = steadily(file, send)
    if done is None:
        return None
    file, (digest, is_proven) = done
    if not is_proven:
        way.unproven[key] = digest.size
    return FileRecord(
        file.path, object_, digest.size, digest.hex(), file.mode, file.mtime_ns, digest.blocks()
    )


def _so_far(error: StoreUnavailableError, given: int, size: int) -> StoreUnavailableError:
    """With how much of the file had been sent when the upload ended."""
    message = f"{error.message}; {given // MIB} of {size // MIB} MiB were sent or under way"
    return StoreUnavailableError(message, key=error.key, hint=error.hint)


class _Blocks:
    """A file's blocks, digested as they are taken. Its length hint tells a store how many there will be, or
    how many may be under way at once at most."""

    def __init__(self, file: Local, way: _Way, *, may_grow: bool) -> None:
        self._file = file
        self._may_grow = may_grow
        self.size = way.pace.block_for(file.size)
        self._progress = way.progress
        self._share = way.share
        self.digest = Digest.of_file(file.size)

    def __length_hint__(self) -> int:
        if self._file.size == UNKNOWN:
            return NotImplemented  # type: ignore[no-any-return]
        return min(self._share, -(-self._file.size // self.size)) if self._file.size else 0

    def __iter__(self) -> Iterator[bytes]:
        source = self._file.source
        if isinstance(source, str):
            return self._progress.over(self._from_disk(source))
        blocks: Iterator[bytes]
        if isinstance(source, bytes):
            blocks = (source[r.start : r.start + r.length] for r in ranges(len(source), self.size))
        else:
            blocks = source.blocks()
        return self._progress.over(self.digest.over(blocks))

    def _from_disk(self, path: str) -> Iterator[bytes]:
        with Steady(self._file, path, may_grow=self._may_grow, digest=self.digest.hex) as source:
            while data := _full_read(source.fileno(), min(self.size, self._file.size - self.digest.size)):
                self.digest.add(data)
                yield data


def _full_read(descriptor: int, length: int) -> bytes:
    """Up to `length` bytes; fewer only at the end of the file, where `os.read` may stop anywhere."""
    parts: list[bytes] = []
    while length and (part := os.read(descriptor, length)):
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
