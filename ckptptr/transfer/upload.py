"""Upload local files, digested on the way: what the digest saw is what was sent."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ckptptr.errors import InvalidArgumentError, LocalDiskError
from ckptptr.stores.port import Store
from ckptptr.transfer.digest import Digest
from ckptptr.transfer.plan import Local, ranges
from ckptptr.transfer.pool import run_all


class Sent(NamedTuple):
    """What was sent of a file: how many bytes, and their digest."""

    size: int
    digest: str


def upload_all(store: Store, files: Sequence[tuple[Local, str]]) -> list[Sent]:
    """Upload `(file, key)` pairs; what was sent, in order.

    Small files go side by side; a large one has the line to itself, since the store sends its
    blocks side by side: so memory stays bounded by a few blocks.

    Raises:
        InvalidArgumentError: a file changed while it was read.
        LocalDiskError: a file could not be read.
        StoreUnavailableError: the store did not take it.
    """
    small = [pair for pair in files if 0 <= pair[0].size <= store.block_size]
    sent = dict(zip(map(_key, small), run_all(lambda pair: _upload(store, *pair), small), strict=True))
    sent.update((key, _upload(store, file, key)) for file, key in files if key not in sent)
    return [sent[key] for _, key in files]


def _key(pair: tuple[Local, str]) -> str:
    return pair[1]


def _upload(store: Store, file: Local, key: str) -> Sent:
    digest = Digest()
    store.upload(key, digest.over(_blocks(file, store.block_size)))
    return Sent(digest.size, digest.hex())


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
