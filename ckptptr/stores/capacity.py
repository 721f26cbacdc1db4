"""How much of the payload is under way at once with a store, as it says itself."""

from __future__ import annotations

from ckptptr.stores.port import Capacity, HasCapacity, Store
from ckptptr.stores.room import BLOCKS, MOST, ROOM, WIDE
from ckptptr.stores.wrappers.around import unwrap

MANY = 64
"""Requests at once at most, where each connection is slow or answers late."""

OF_SDKS = Capacity(ROOM, MOST)
OF_OBSTORE = Capacity(WIDE, MANY)


def capacity_of(store: Store) -> Capacity:
    """That of a store; the widest where it says none, as a disk."""
    found = unwrap(store, HasCapacity)
    return found.capacity if found else OF_OBSTORE


def at_once(block_size: int, room: int) -> int:
    """How many blocks of that size are under way at most."""
    return max(1, min(BLOCKS, room // block_size))
