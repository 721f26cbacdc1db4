"""Upload local files, digested on the way: what the digest saw is what was sent."""

from __future__ import annotations

import logging
import math
import os
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ckptptr.errors import StoreUnavailableError
from ckptptr.protocol.blocks import Blocks
from ckptptr.stores.port import Store, UploadGoneError
from ckptptr.transfer.digest import Digest
from ckptptr.transfer.folder import tell_missing
from ckptptr.transfer.plan import MIB, ONE_REQUEST, UNKNOWN, Local, block_for, ranges
from ckptptr.transfer.pool import FEW, MANY, run_all
from ckptptr.transfer.progress import SAVING, Progress, Showing
from ckptptr.transfer.steady import Steady, steadily

_SIDE_BY_SIDE = ((MIB, FEW, MANY), (ONE_REQUEST // 2, 16, 16), (ONE_REQUEST, 8, 8))
"""Up to which size how many files go at once at first, and at most: they hold less than 128 MiB in memory."""

log = logging.getLogger("ckptptr")

LARGE_AT_ONCE = 3
"""Larger ones: each sends its own blocks side by side, and the store bounds their number in all."""

_SLOW = 40_000_000
"""Bytes in a second: where one request is slower, several blocks side by side are faster."""
_TELLING = 4
"""Requests that tell how fast one is: on a busy machine some are slow, and rarely all."""


class _Way:
    """How files go to a store: those of three or four blocks in one request, unless such are slow there."""

    def __init__(self, store: Store, progress: Progress) -> None:
        self.store = store
        self.progress = progress
        self._seen = 0
        self._fastest = 0.0

    def block_for(self, size: int) -> int:
        is_slow = self._seen >= _TELLING and self._fastest < _SLOW
        return block_for(size, self.store.block_size, 2 if is_slow else 4)

    def took(self, seconds: float, size: int, block: int) -> None:
        """A file of this size was sent in these seconds, in blocks of that size."""
        if ONE_REQUEST // 4 < size <= block:
            self._seen += 1
            self._fastest = max(self._fastest, size / max(seconds, 1e-3))


class Sent(NamedTuple):
    """What was sent of a file: how many bytes, their digest, when the file was last changed, its blocks."""

    size: int
    digest: str
    mtime_ns: int | None = None
    blocks: Blocks | None = None


def upload_all(
    store: Store, files: Sequence[tuple[Local, str]], showing: Showing = SAVING
) -> list[Sent | None]:
    """Upload `(file, key)` pairs; what was sent, in order, and None for a file that is not there any more.

    Files of similar size go side by side, fewer the larger they are: so memory stays bounded. A file that
    grows is sent as long as it was when it was planned; one that changes otherwise is read again.

    Raises:
        LocalDiskError: a file could not be read, changed again and again, or is gone with its whole folder.
        StoreUnavailableError: the store did not take it, or not all of it.
    """
    sent: dict[str, Sent] = {}
    unproven: dict[str, int] = {}
    rest = sorted(files, key=lambda pair: _size(pair[0]))
    with showing(sum(file.size for file, _ in files if file.size != UNKNOWN)) as progress:
        way = _Way(store, progress)
        for limit, few, most in (*_SIDE_BY_SIDE, (None, LARGE_AT_ONCE, LARGE_AT_ONCE)):
            now = [pair for pair in rest if limit is None or _size(pair[0]) <= limit]
            rest = rest[len(now) :]
            done = run_all(
                lambda pair: _upload(way, *pair), now, workers=few, most=most, moved=lambda: progress.done
            )
            for (_, key), (each, is_proven) in zip(now, done, strict=True):
                if each is not None:
                    sent[key] = each
                    if not is_proven:
                        unproven[key] = each.size
    _check_listed(store, unproven)
    tell_missing([file for file, key in files if key not in sent])
    return [sent.get(key) for _, key in files]


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


def _upload(way: _Way, file: Local, key: str) -> tuple[Sent | None, bool]:
    def send(file: Local, may_grow: bool) -> tuple[Digest, bool]:
        blocks = _Blocks(file, way, may_grow=may_grow)
        begun = measured.begin()
        try:
            is_proven = way.store.upload(key, blocks)
            way.took(measured.clock() - begun, file.size, blocks.size)
        except UploadGoneError as error:
            # The listing tells. The name has this checkpoint's random id: what is there in that size is ours.
            log.warning("%s; ckptptr looks whether the object is complete", error)
            is_proven = False
        except StoreUnavailableError as error:
            if type(error) is not StoreUnavailableError or file.size <= MIB:
                raise
            raise _so_far(error, blocks.digest.size, file.size) from error
        finally:
            measured.end(begun)
        return blocks.digest, is_proven

    measured = way.progress.measured
    done = steadily(file, send)
    if done is None:
        return None, True
    file, (digest, is_proven) = done
    return Sent(digest.size, digest.hex(), file.mtime_ns, digest.blocks()), is_proven


def _so_far(error: StoreUnavailableError, given: int, size: int) -> StoreUnavailableError:
    """With how much of the file had been sent when the upload ended."""
    message = f"{error.message}; {given // MIB} of {size // MIB} MiB were sent or under way"
    return StoreUnavailableError(message, key=error.key, hint=error.hint)


class _Blocks:
    """A file's blocks, digested as they are taken. Its length hint tells a store how many there will be."""

    def __init__(self, file: Local, way: _Way, *, may_grow: bool) -> None:
        self._file = file
        self._may_grow = may_grow
        self.size = way.block_for(file.size)
        self._progress = way.progress
        self.digest = Digest.of_file(file.size)

    def __length_hint__(self) -> int:
        if self._file.size == UNKNOWN:
            return NotImplemented  # type: ignore[no-any-return]
        return -(-self._file.size // self.size) if self._file.size else 0

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
