"""What all ranks of a training do at the same time: tell each other something, or fail together.

All of it is collective: each rank of the default process group calls it. Without such a group a process is
alone. The ranks talk over a gloo group of our own: NCCL would wait for the GPU, and give up after ten
minutes, in which rank 0 may not have restored a large model.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ckptptr.errors import CkptptrError

PATIENCE = timedelta(hours=6)
"""How long a rank waits for one that is alive. One that dies is noticed at once."""

_T = TypeVar("_T")
_groups: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def rank() -> int:
    """Of this process, from 0."""
    return dist.get_rank() if is_one_of_several() else 0


def gather(mine: _T) -> list[_T]:
    """What each rank says, by rank. No rank returns before all have called it."""
    if not is_one_of_several():
        return [mine]
    said: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(said, mine, group=_group())
    return said


def any_rank(mine: bool) -> bool:
    """Whether any rank says yes; fast enough for each step of a training."""
    if not is_one_of_several():
        return mine
    flag = torch.tensor(int(mine))
    dist.all_reduce(flag, dist.ReduceOp.MAX, group=_group())
    return bool(flag)


def together(work: Callable[[], _T]) -> list[_T]:
    """What `work` returns on each rank, by rank. If it raises on one of them, all ranks raise."""
    result, error = None, None
    try:
        result = work()
    except Exception as raised:  # noqa: BLE001 - the others must not wait for ever
        error = raised
    told = gather((result, error if isinstance(error, CkptptrError) else error and str(error)))
    if error is not None:
        raise error
    for number, (_, failure) in enumerate(told):
        if isinstance(failure, CkptptrError):
            raise failure
        if failure is not None:
            raise RuntimeError(f"rank {number} has failed: {failure}")
    return [each for each, _ in told]  # type: ignore[misc]


def is_one_of_several() -> bool:
    """Whether this process is in a process group with others."""
    return bool(dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)


def _group() -> Any:
    world = dist.group.WORLD
    if world not in _groups:
        _groups[world] = dist.new_group(backend="gloo", timeout=PATIENCE)
        atexit.register(_close)
    return _groups[world]


def _close() -> None:
    """Before the interpreter ends: a thread of gloo that is left then aborts the process now and then."""
    group = _groups.pop(dist.group.WORLD, None) if dist.is_initialized() else None
    if group is not None:
        dist.destroy_process_group(group)
