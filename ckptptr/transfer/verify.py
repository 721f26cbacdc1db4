"""Digest objects in the store, without a disk: every byte is fetched, none is kept.

Small objects go side by side; a large one has the line to itself, a few of its blocks in flight at a
time: so memory stays bounded. What does not match is fetched once more before it counts as damage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from ckptptr.errors import DamagedError, NotFoundError
from ckptptr.protocol.complete import Flaw
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.port import GLANCE, Store
from ckptptr.transfer.digest import Digest
from ckptptr.transfer.plan import Range, ranges
from ckptptr.transfer.pool import WORKERS, run_all

FETCHES = 2


def digest_flaws(
    store: Store, home: str, files: Sequence[FileRecord], fetched: Callable[[int], object] = lambda _: None
) -> list[Flaw]:
    """The files whose bytes are not those that were saved; those without a digest are only read.

    Args:
        fetched: is told of the bytes that came.

    Raises:
        StoreUnavailableError: the store did not answer.
    """

    def check(record: FileRecord) -> Flaw | None:
        key = f"{home}/{record.object}"
        for _ in range(FETCHES):
            digest = Digest()
            try:
                for block in digest.over(_blocks(store, key, record.size)):
                    fetched(len(block))
            except NotFoundError:
                return Flaw(record.path, key, "it is gone")
            except DamagedError:
                return Flaw(record.path, key, f"it is shorter than the {record.size} bytes that were saved")
            if record.xxh3_128 in ("", digest.hex()):
                return None
        return Flaw(record.path, key, "it does not have the digest that it was saved with")

    small = [record for record in files if record.size <= store.block_size]
    large = [record for record in files if record.size > store.block_size]
    found = [*run_all(check, small), *map(check, large)]
    return [flaw for flaw in found if flaw is not None]


def _blocks(store: Store, key: str, size: int) -> Iterator[bytes]:
    """The blocks in order, fetched a few at a time; at least one request, so that absence is noticed."""
    parts = ranges(size, store.block_size)

    def fetch(part: Range) -> bytes:
        return b"".join(store.download(key, part.start, part.length))

    if not size:
        store.read(key, GLANCE)
    while batch := [*islice(parts, WORKERS)]:
        yield from run_all(fetch, batch)
