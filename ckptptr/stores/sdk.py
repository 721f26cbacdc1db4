"""What the clouds' clients share: forks, retries, bytes sent without a copy, no secret in an error."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import os
import random
import select
import selectors
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from ckptptr.clock import Patience
from ckptptr.errors import CkptptrError, DamagedError, InvalidArgumentError
from ckptptr.lifetime.daemon import done_now, no_thread
from ckptptr.stores.port import Guarantee

_T = TypeVar("_T")


class PassingError(Exception):
    """A failure that may pass by itself: `error` is what to raise when patience ends.

    `after` is how many seconds the server asked to wait.
    """

    def __init__(self, error: CkptptrError, after: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.after = after


async def patiently(patience: Patience, attempt: Callable[[], Awaitable[_T]]) -> _T:
    """`attempt` until it does not raise `PassingError`, or patience ends."""
    now = asyncio.get_running_loop().time
    end = now() + patience.at_most
    tried = 0
    while True:
        try:
            return await attempt()
        except PassingError as passing:
            tried += 1
            pause = patience.pause(tried, random.random(), passing.after)
            if tried >= patience.tries or now() + pause > end:
                raise passing.error from passing.__cause__
        await asyncio.sleep(pause)


class Body(io.BytesIO):
    """Bytes to send, without a second copy: aiohttp calls `getbuffer`, which makes a BytesIO copy itself."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._view = memoryview(body)

    def getbuffer(self) -> memoryview:
        return self._view[:]


def one_or_many(blocks: Iterable[bytes]) -> tuple[bytes | None, Iterator[bytes]]:
    """The only block (empty where there is none), or None and all of them. No block stays in memory here."""
    source = iter(blocks)
    first = next(source, b"")
    second = next(source, None)
    if second is None:
        return first, iter(())
    return None, itertools.chain((first, second), source)


def check_length(body: bytes, start: int, length: int, url: str) -> None:
    """Check the answer to a request for `length` bytes from offset `start`.

    Raises:
        DamagedError: it has another number of bytes.
    """
    if len(body) != length:
        raise DamagedError(
            f"got {len(body)} of {length} bytes from offset {start}: the object ends there", key=url
        )


async def beginning(stream: Any, length: int | None, at_most: int | None) -> bytes:
    """The body of an answer, or its first `at_most` bytes if it is longer.

    Args:
        length: of all of it; None where the answer does not say.
    """
    if at_most is None or (length is not None and length <= at_most):
        whole: bytes = await stream.read()
        return whole
    found = bytearray()
    while len(found) < at_most and (piece := await stream.read(at_most - len(found))):
        found += piece
    return bytes(found)


def seconds(moment: datetime | str | None) -> float:
    """A time in a listing, as an `Entry` has it: `2026-11-23T15:20:05.123Z` too."""
    if isinstance(moment, str):
        with contextlib.suppress(ValueError):
            moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    return moment.timestamp() if isinstance(moment, datetime) else 0.0


def last_names(prefixes: Iterable[str]) -> Sequence[str]:
    """The names of folders, from what a listing of one level says: `data/home/x/`, or without the slash."""
    return sorted({prefix.rstrip("/").rpartition("/")[2] for prefix in prefixes})


def guarantee_at(endpoint: str, known: tuple[str, ...]) -> Guarantee:
    """Compare-and-swap on hosts that end as `known` says; any other endpoint has to be asked."""
    host = urlsplit(endpoint).hostname or ""
    return Guarantee.COMPARE_AND_SWAP if host.endswith(known) else Guarantee.UNPROVEN


def unsendable(error: ValueError, url: str) -> InvalidArgumentError:
    """In place of what SDKs say about an invalid endpoint: their text repeats parts of it."""
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
    if sys.platform == "linux":
        selector = getattr(filesystem._loop, "_selector", None)
        if isinstance(selector, selectors.EpollSelector):
            with select.epoll() as own:
                os.dup2(own.fileno(), selector.fileno(), inheritable=False)
    start_event_loop()


def start_event_loop() -> None:
    """Have fsspec's event loop, with its thread.

    If that thread could not be started, or stayed behind in a fork, fsspec still takes requests, and they
    wait for ever.

    Raises:
        LocalMachineError: the system gives no thread for it.
    """
    import fsspec.asyn

    thread = fsspec.asyn.iothread[0]
    if thread is not None and thread.is_alive() and fsspec.asyn.loop[0] is _Helpers.loop:
        return
    if thread is not None and not thread.is_alive():  # before 2025.5 fsspec does not see that by itself
        fsspec.asyn.reset_lock()
    try:
        loop = fsspec.asyn.get_loop()
        with fsspec.asyn.get_lock():
            if fsspec.asyn.iothread[0] is None:
                thread = threading.Thread(target=loop.run_forever, name="fsspecIO", daemon=True)
                thread.start()
                fsspec.asyn.iothread[0] = thread
    except RuntimeError as error:
        raise no_thread(error) from error
    _Helpers.loop = loop
    loop.set_default_executor(_Helpers(thread_name_prefix="fsspecIO"))


class _Helpers(ThreadPoolExecutor):
    """The threads in which an event loop looks up host names and reads certificates: what cannot have one, as
    the process ends, or on a machine that gives no more, is done at once.

    `loop` is the loop that has them.
    """

    loop: ClassVar[Any] = None

    def submit(self, fn: Callable[..., _T], /, *args: Any, **kwargs: Any) -> Future[_T]:
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            return done_now(lambda: fn(*args, **kwargs))


class Client:
    """Safe to use from any thread and, unlike the filesystem it is made from, after a fork."""

    def __init__(self, filesystem: Any) -> None:
        self._origin = filesystem

    @property
    def _filesystem(self) -> Any:
        if self._origin._pid != os.getpid():
            # The event loop's thread stayed in the parent. fsspec caches instances by process, so this
            # makes one that belongs to the child.
            renew_event_loop(self._origin)
            self._origin = self._made_again(self._origin)
        start_event_loop()
        return self._origin

    def _made_again(self, old: Any) -> Any:
        return type(old)(*old.storage_args, **old.storage_options)
