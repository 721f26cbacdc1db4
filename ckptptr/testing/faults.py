"""A store that fails on command: at a chosen request, before it, in its middle or after it.

    store = FaultyStore(MemoryStore(), [Fault("kill", when="after", op="replace")])

The fault matrix of the protocol is made of these: run once to see how many requests there are
(`store.log`), then again and again with a fault at each.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from ckptptr.errors import StoreUnavailableError
from ckptptr.stores.port import Entry, Guarantee, Store, Token

Op = Literal["read", "create", "replace", "list", "delete", "upload", "download", "copy"]
_T = TypeVar("_T")


class Killed(BaseException):
    """The process died here, as far as the test goes. No `except Exception` may catch a SIGKILL."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the port. `n` counts from 1 in order of start; a delete's `key` is all of its keys."""

    n: int
    op: Op
    key: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and where.

    Args:
        action: `fail` raises `error`; `kill` ends the process (see `FaultyStore`); `corrupt` flips
            one bit of what a read or download returns.
        when: `before` the store hears of the request; `after` it was carried out and only the reply
            is lost; `during` an upload, its first block sent, or a delete, its first key gone. A
            fault `during` matches no other operation.
        op: the operation it is for; any when left out.
        key: a regular expression to be found in the key.
        nth: the first matching request that it hits, counted from 1.
        times: how many matching requests in a row it hits.
        error: what `fail` raises; `StoreUnavailableError` when left out.
    """

    action: Literal["fail", "kill", "corrupt"] = "fail"
    when: Literal["before", "during", "after"] = "before"
    op: Op | None = None
    key: str = ""
    nth: int = 1
    times: int = 1
    error: Exception | None = None

    def matches(self, request: Request) -> bool:
        if self.action == "corrupt" and request.op not in ("read", "download"):
            return False
        if self.when == "during" and request.op not in ("upload", "delete"):
            return False
        return self.op in (None, request.op) and re.search(self.key, request.key) is not None


class FaultyStore:
    """A store around another that keeps a log and applies faults; the first fault that hits, counts.

    A kill calls `on_kill` (a real `os.kill` in a subprocess) and raises `Killed`. After that every
    request raises `Killed` and is not logged: a dead process does nothing more, in none of its threads.
    """

    def __init__(
        self, inner: Store, faults: Iterable[Fault] = (), *, on_kill: Callable[[], object] | None = None
    ) -> None:
        self.inner = inner
        self.log: list[Request] = []
        self._faults = [*faults]
        self._seen = [0] * len(self._faults)
        self._on_kill = on_kill
        self._lock = threading.Lock()
        self._dead = False

    @property
    def guarantee(self) -> Guarantee:
        return self.inner.guarantee

    @property
    def block_size(self) -> int:
        return self.inner.block_size

    def url(self, key: str) -> str:
        return self.inner.url(key)

    def read(self, key: str) -> tuple[bytes, Token]:
        fault = self._start("read", key)
        body, token = self._run(fault, lambda: self.inner.read(key))
        return _corrupted(fault, body), token

    def create(self, key: str, body: bytes) -> Token:
        return self._run(self._start("create", key), lambda: self.inner.create(key, body))

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        return self._run(self._start("replace", key), lambda: self.inner.replace(key, body, token))

    def list(self, folder: str) -> Iterator[Entry]:
        return iter(self._run(self._start("list", folder), lambda: [*self.inner.list(folder)]))

    def delete(self, keys: Iterable[str]) -> None:
        doomed = [*keys]
        fault = self._start("delete", " ".join(doomed))
        if fault and fault.when == "during":
            self.inner.delete(doomed[:1])
            self._strike(fault)
        self._run(fault, lambda: self.inner.delete(doomed))

    def upload(self, key: str, blocks: Iterable[bytes]) -> None:
        fault = self._start("upload", key)
        if fault and fault.when == "during":
            blocks = self._broken_off(fault, blocks)
        self._run(fault, lambda: self.inner.upload(key, blocks))

    def download(self, key: str, start: int, length: int) -> bytes:
        fault = self._start("download", key)
        return _corrupted(fault, self._run(fault, lambda: self.inner.download(key, start, length)))

    def copy(self, source: str, key: str) -> None:
        self._run(self._start("copy", key), lambda: self.inner.copy(source, key))

    def _start(self, op: Op, key: str) -> Fault | None:
        with self._lock:
            if self._dead:
                raise Killed
            request = Request(len(self.log) + 1, op, key)
            self.log.append(request)
            hits = [fault for index, fault in enumerate(self._faults) if self._hits(index, request)]
        return hits[0] if hits else None

    def _hits(self, index: int, request: Request) -> bool:
        fault = self._faults[index]
        if not fault.matches(request):
            return False
        self._seen[index] += 1
        return fault.nth <= self._seen[index] < fault.nth + fault.times

    def _run(self, fault: Fault | None, perform: Callable[[], _T]) -> _T:
        if fault is None or fault.action == "corrupt":
            return perform()
        if fault.when == "before":
            self._strike(fault)
        result = perform()
        if fault.when == "after":
            self._strike(fault)
        return result

    def _broken_off(self, fault: Fault, blocks: Iterable[bytes]) -> Iterator[bytes]:
        for block in blocks:
            yield block
            break
        self._strike(fault)

    def _strike(self, fault: Fault) -> None:
        if fault.action == "fail":
            raise fault.error or StoreUnavailableError(f"injected {fault.when} the request")
        with self._lock:
            self._dead = True
        if self._on_kill:
            self._on_kill()
        raise Killed


def _corrupted(fault: Fault | None, body: bytes) -> bytes:
    if fault is None or fault.action != "corrupt" or not body:
        return body
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
