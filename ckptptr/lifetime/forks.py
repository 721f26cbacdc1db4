"""A forked process has the memory of its parent, and none of its threads.

A lock that another thread held then stays locked for ever, and what that thread was going to do is never
done. So the child makes anew what threads share, before any other code runs in it. What the parent has begun
stays the parent's; a wait for it ends in the child with an error.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from typing import Any, Protocol
from weakref import WeakSet

from ckptptr.errors import OutcomeUnknownError


class Renewable(Protocol):
    """What threads share."""

    def renew(self) -> None:
        """In the child: make the locks anew, and forget the work of threads."""


_owners: WeakSet[Any] = WeakSet()
_pending: WeakSet[Future[Any]] = WeakSet()


def renew_in_child(owner: Renewable) -> None:
    """Have `owner.renew` called in each process that is forked from this one."""
    _owners.add(owner)


def fail_in_child(work: Future[Any]) -> None:
    """A thread is at this work: in a process that is forked meanwhile, waiting for it fails."""
    _pending.add(work)


def _renew() -> None:
    for owner in [*_owners]:
        owner.renew()
    for work in [*_pending]:
        work._condition = threading.Condition()  # the thread may have held the old one
        if not work.done():
            work.set_exception(
                OutcomeUnknownError(
                    "this was under way when this process was forked, and only its parent goes on with it",
                    hint="Wait for it before the fork, or in the parent",
                )
            )
    _pending.clear()


os.register_at_fork(after_in_child=_renew)
