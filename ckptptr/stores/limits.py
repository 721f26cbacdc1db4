"""How much of the payload is under way at once with a store, as it says itself."""

from __future__ import annotations

from ckptptr.stores.port import HasLimits, Limits, Store
from ckptptr.stores.room import BLOCKS, MOST, ROOM, WIDE
from ckptptr.stores.wrappers.around import unwrap

MANY = 64
"""Requests at once at most, where each connection is slow or answers late."""

OF_SDKS = Limits(ROOM, MOST)
OF_OBSTORE = Limits(WIDE, MANY)


def limits_of(store: Store) -> Limits:
    """Those of a store; the widest where it has none, as a disk."""
    limited = unwrap(store, HasLimits)
    return limited.limits if limited else OF_OBSTORE


def at_once(block_size: int, room: int) -> int:
    """How many blocks of that size are under way at most."""
    return max(1, min(BLOCKS, room // block_size))
