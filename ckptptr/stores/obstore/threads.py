"""obstore's own threads: one set for the process. They may fail to start, and no fork takes them along."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ckptptr.stores.obstore.lending import UnlendableError

_have_begun = False  # in this process, or in the one that it was forked from
_unusable = ""  # why they are of no use, once they are not


def begin() -> None:
    """They are, or will be, in this process."""
    global _have_begun  # noqa: PLW0603 - one set for the process
    _have_begun = True


def check() -> None:
    """Raises `UnlendableError` where there are none."""
    if _unusable:
        raise UnlendableError(_unusable)


def _forked() -> None:
    global _unusable  # noqa: PLW0603
    if _have_begun:
        _unusable = "the process was forked after obstore had started its threads"


os.register_at_fork(after_in_child=_forked)


@contextmanager
def without_panic() -> Iterator[None]:
    """obstore panics, which is no `Exception`, where the system gives it no threads. It is of no use then."""
    global _unusable  # noqa: PLW0603 - its threads are those of the process
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        _unusable = "obstore could not start its threads"
        raise UnlendableError(f"it failed in itself ({error})") from None
