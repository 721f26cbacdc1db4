"""Fetch a file piece by piece, each verified as it arrives; only a bad one is fetched again.

One flipped bit on the wire must not cost a checkpoint, nor a second download of a large file. A piece is a
block of the manifest. Without digests of blocks only the whole file tells whether its pieces are good.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from ckptptr.stores.port import GLANCE, Block, Store
from ckptptr.transfer.digest import Digest
from ckptptr.transfer.plan import RANGE, Piece, ranges

FETCHES = 2
"""How often a piece is fetched before what came counts as damage."""


def fetch(store: Store, key: str, piece: Piece, take: Callable[[int, Block], object]) -> bool:
    """Fetch a piece; whether it is good, as far as its digest is known.

    Args:
        take: gets the bytes with their offset, as they come. What comes a second time replaces the first.

    Raises:
        NotFoundError, DamagedError: there is no such object, or it ends too early.
        StoreUnavailableError: the store did not answer.
    """
    if not piece.length:  # no range of it can be asked for, and it has to be there all the same
        store.read(key, GLANCE)
    for _ in range(FETCHES):
        digest = Digest()
        for part in ranges(piece.length, RANGE):
            with closing(store.download(key, piece.start + part.start, part.length)) as blocks:
                for block in digest.over(blocks):
                    take(piece.start + digest.size - len(block), block)
        if piece.digest in ("", digest.hex()):
            return True
    return False
