"""obstore's own threads: one set for the process. They may fail to start, and no fork takes them along."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from ckptptr.stores.obstore.lending import UnlendableError

_in = 0  # the process that they are in
_has_panicked = False  # obstore could not start them, and never tries again


def begin() -> None:
    """They are, or will be, in this process."""
    global _in  # noqa: PLW0603 - one set for the process
    _in = _in or os.getpid()


def check() -> None:
    """Raises `UnlendableError` where there are none."""
    if _in != os.getpid():
        raise UnlendableError("the process was forked after obstore had started its threads")
    if _has_panicked:
        raise UnlendableError("obstore could not start its threads")


@contextmanager
def without_panic() -> Iterator[None]:
    """obstore panics, which is no `Exception`, where the system gives it no threads. It is of no use then."""
    global _has_panicked  # noqa: PLW0603 - its threads are those of the process
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        _has_panicked = True
        raise UnlendableError(f"it failed in itself ({error})") from None
