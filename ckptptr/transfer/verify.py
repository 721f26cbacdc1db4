"""Digest objects in the store, without a disk: every byte is fetched, none is kept.

The pieces of all files go side by side, each a few blocks at most: so memory stays bounded. What does not
match is fetched once more before it counts as damage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice

from ckptptr.errors import DamagedError, NotFoundError
from ckptptr.protocol.complete import Flaw
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.port import GLANCE, Store
from ckptptr.transfer.digest import Digest
from ckptptr.transfer.fetch import FETCHES, fetch
from ckptptr.transfer.plan import Piece, Range, pieces, ranges
from ckptptr.transfer.pool import WORKERS, run_all


def digest_flaws(
    store: Store, home: str, files: Sequence[FileRecord], fetched: Callable[[int], object] = lambda _: None
) -> list[Flaw]:
    """The files whose bytes are not those that were saved; those without a digest are only read.

    Args:
        fetched: is told of the bytes that came.

    Raises:
        StoreUnavailableError: the store did not answer.
    """
    found: dict[str, Flaw] = {}

    def check(job: tuple[FileRecord, Callable[[str], bool]]) -> None:
        record, is_good = job
        key = f"{home}/{record.object}"
        if record.path in found:
            return
        try:
            problem = "" if is_good(key) else "it does not have the digest that it was saved with"
        except NotFoundError:
            problem = "it is gone"
        except DamagedError:
            problem = f"it is shorter than the {record.size} bytes that were saved"
        if problem:
            found[record.path] = Flaw(record.path, key, problem)

    def piece_is_good(piece: Piece, key: str) -> bool:
        return fetch(store, key, piece, lambda _, block: fetched(len(block)))

    def is_there(key: str) -> bool:
        return bool(store.read(key, GLANCE))

    def whole_is_good(record: FileRecord, key: str) -> bool:
        return any(_digest(store, key, record.size, fetched) == record.xxh3_128 for _ in range(FETCHES))

    def jobs() -> Iterator[tuple[FileRecord, Callable[[str], bool]]]:
        for record in files:
            if not record.size:
                yield record, is_there
            elif not _only_as_a_whole(record):
                yield from ((record, partial(piece_is_good, piece)) for piece in pieces(record))

    run_all(check, jobs())
    for record in filter(_only_as_a_whole, files):
        check((record, partial(whole_is_good, record)))
    return [found[record.path] for record in files if record.path in found]


def _only_as_a_whole(record: FileRecord) -> bool:
    return record.xxh3_128 != "" and record.known_blocks is None


def _digest(store: Store, key: str, size: int, fetched: Callable[[int], object]) -> str:
    """The digest of a whole object, fetched a few blocks at a time."""
    digest, parts = Digest(), ranges(size, store.block_size)

    def block(part: Range) -> bytes:
        return b"".join(store.download(key, part.start, part.length))

    while batch := [*islice(parts, WORKERS)]:
        for found in digest.over(run_all(block, batch)):
            fetched(len(found))
    return digest.hex()
