"""Which rank of how many this process is, where the caller or torchrun says so."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ckptptr.errors import InvalidArgumentError
from ckptptr.protocol.manifest import whole_number

MOST_RANKS = 1_000_000
"""How many ranks save one checkpoint together: each that waits counts them."""
_DIGITS = 10


def rank_and_size(
    rank: int | None, world_size: int | None, environ: Mapping[str, str] = os.environ
) -> tuple[int, int]:
    """Which rank of how many; what is not given is as torchrun tells its workers.

    Raises:
        InvalidArgumentError: it is said nowhere, or there is no such rank.
    """

    def told(given: int | None, name: str) -> int | None:
        if given is not None:
            return whole_number(given, name)
        text = environ.get(name, "")
        return int(text) if text.isdecimal() and len(text) < _DIGITS else None

    rank, world_size = told(rank, "RANK"), told(world_size, "WORLD_SIZE")
    if rank is None or world_size is None:
        raise InvalidArgumentError(
            "which rank of how many is this?",
            hint="Give rank and world_size; torchrun sets RANK and WORLD_SIZE",
        )
    if not 0 <= rank < world_size:
        raise InvalidArgumentError(f"rank {rank} of {world_size}: ranks count from 0")
    if world_size > MOST_RANKS:
        raise InvalidArgumentError(f"{world_size} ranks; at most {MOST_RANKS} save one checkpoint together")
    return rank, world_size
