"""What the clients of the clouds have in common: forks, bytes sent uncopied, and no secret in an error."""

from __future__ import annotations

import io
import os
import select
import selectors
import sys
from typing import Any

from ckptptr.errors import DamagedError, InvalidArgumentError


class Body(io.BytesIO):
    """Bytes to send, without a second copy: aiohttp calls `getbuffer`, which makes a BytesIO copy itself."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._view = memoryview(body)

    def getbuffer(self) -> memoryview:
        return self._view[:]


def check_length(body: bytes, start: int, length: int, url: str) -> None:
    """Of the answer to a request for `length` bytes from offset `start`.

    Raises:
        DamagedError: it is another number of bytes.
    """
    if len(body) != length:
        raise DamagedError(
            f"got {len(body)} of {length} bytes from offset {start}: the object ends there", key=url
        )


def unsendable(error: ValueError, url: str) -> InvalidArgumentError:
    """In place of what SDKs say of an endpoint that makes no sense: their text repeats parts of it."""
    return InvalidArgumentError(
        f"the request cannot be sent ({type(error).__name__})",
        key=url,
        hint="Check the endpoint: a URL with scheme and host, and without user name or password.",
    )


def shown(error: Exception) -> Exception | None:
    """The cause that tracebacks show below ours: none where its text may repeat secrets of a URL."""
    return None if any(mark in str(error) for mark in ("@", "sig=", "access_token=")) else error


def renew_event_loop(filesystem: Any) -> None:
    """After a fork: leave the event loop of the parent's filesystem to the parent, whose thread runs it.

    Both processes share that loop's set of epoll. When the filesystem is collected here, its connections
    leave the set; the parent would then wait for ever for an answer on them. So this process gets a set
    of its own in place of it. kqueue needs no such care: a fork does not inherit it.
    """
    import fsspec.asyn

    if sys.platform == "linux":
        selector = getattr(filesystem._loop, "_selector", None)
        if isinstance(selector, selectors.EpollSelector):
            with select.epoll() as own:
                os.dup2(own.fileno(), selector.fileno(), inheritable=False)
    thread = fsspec.asyn.iothread[0]
    if thread is not None and not thread.is_alive():  # before 2025.5 fsspec does not see that by itself
        fsspec.asyn.reset_lock()


class Client:
    """Safe to use from any thread and, unlike the filesystem it is made from, after a fork."""

    def __init__(self, filesystem: Any) -> None:
        self._origin = filesystem

    @property
    def _filesystem(self) -> Any:
        if self._origin._pid != os.getpid():
            # The event loop's thread stayed in the parent. fsspec caches instances by process, so this
            # makes one that belongs to the child.
            old = self._origin
            renew_event_loop(old)
            self._origin = type(old)(*old.storage_args, **old.storage_options)
        return self._origin
