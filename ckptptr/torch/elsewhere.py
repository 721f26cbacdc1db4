"""An object that stays in its process when it is sent to another one: there its methods are called from afar.

`dcp.async_save` can let a process of its own write the files. The store, the attempt and what is known of
LATEST stay with the process that trains: the other one asks it to upload what it wrote.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from typing import Any


class Staying:
    """What an object is that stays. In the other process one thread at a time may call its methods."""

    def __reduce__(self) -> tuple[Any, ...]:
        ours, theirs = Pipe()
        with theirs:
            sent = DupFd(theirs.fileno())
        threading.Thread(target=_answer, args=(ours, self), name="ckptptr-staying", daemon=True).start()
        return _Afar, (sent,)


class _Afar:
    """What the other process gets: each method runs where the object is, and this one waits for it.

    Raises: what the method raises; EOFError: that process is dead.
    """

    def __init__(self, sent: Any) -> None:
        self._connection = Connection(sent.detach())

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        return partial(self._ask, method)

    def _ask(self, method: str, *arguments: object) -> Any:
        self._connection.send((method, arguments))
        result, error = self._connection.recv()
        if error is not None:
            raise error
        return result


def _answer(connection: Connection[Any, Any], staying: Staying) -> None:
    """Until the other process drops what it got, or dies."""
    with connection, suppress(EOFError, OSError):
        while True:
            method, arguments = connection.recv()
            connection.send(_outcome(getattr(staying, method), arguments))


def _outcome(method: Callable[..., Any], arguments: tuple[object, ...]) -> tuple[Any, Exception | None]:
    try:
        return method(*arguments), None
    except Exception as error:  # noqa: BLE001 - the other process raises it
        return None, error
