"""A store that fails on command: at a chosen request, before it, in its middle or after it.

    store = FaultyStore(MemoryStore(), [Fault("kill", when="after", op="replace")])

The fault matrix of the protocol is made of these: run once to see how many requests there are
(`store.log`), then again and again with a fault at each.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from ckptptr.errors import StoreUnavailableError
from ckptptr.stores.port import Block, Entry, Store, Token
from ckptptr.stores.wrappers.around import Around
from ckptptr.testing.saves import Saves

Op = Literal["read", "create", "replace", "list", "delete", "upload", "download", "copy"]
_T = TypeVar("_T")


class Killed(BaseException):
    """The process died here, in a test. `except Exception` does not catch it, like a SIGKILL."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the port. `n` counts from 1 in order of start; the `key` of a delete is all of its keys.

    `save`: the number of the save that it belongs to, see `ckptptr.testing.saves`.
    """

    n: int
    op: Op
    key: str
    save: int | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and where.

    Args:
        action: `fail` raises `error`; `kill` ends the process (see `FaultyStore`); `term` sends it a
            SIGTERM, and the request continues; `corrupt` flips one bit of what a read or download
            returns; `cut` is a lost network: from then on every request fails, also those that do not
            match.
        when: `before`: the store does not get the request. `after`: the store did it, and only the reply
            is lost (a `cut` begins with the next request). `during`: in an upload after its first block
            or `byte` bytes, in a download after half of it, in a delete after its first key. A fault
            `during` matches no other operation.
        op: the operation; any by default.
        key: a regular expression that the key must contain.
        save: the number of the save; any request by default.
        byte: after how many bytes of payload, over all matching uploads, it strikes `during` one of them.
        nth: the first matching request that it hits, counted from 1.
        times: how many matching requests in a row it hits; for a `cut`, how many are lost. None: all.
        error: what `fail` and `cut` raise; `StoreUnavailableError` by default.
    """

    action: Literal["fail", "kill", "term", "corrupt", "cut"] = "fail"
    when: Literal["before", "during", "after"] = "before"
    op: Op | None = None
    key: str = ""
    save: int | None = None
    byte: int | None = None
    nth: int = 1
    times: int | None = 1
    error: Exception | None = None

    def matches(self, request: Request) -> bool:
        if self.action == "corrupt" and request.op not in ("read", "download"):
            return False
        if self.when == "during" and request.op not in ("upload", "download", "delete"):
            return False
        if self.save not in (None, request.save):
            return False
        return self.op in (None, request.op) and re.search(self.key, request.key) is not None


class Armed:
    """A fault, and how often it has matched so far."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._seen = 0
        self._sent = 0
        self._lost = 0
        self._has_struck = False

    @property
    def when(self) -> str:
        return "before" if self._lost else self.fault.when

    def hits(self, request: Request) -> bool:
        fault = self.fault
        if fault.action == "cut" and self._has_struck:
            self._lost += 1
            return fault.times is None or self._lost <= fault.times
        if not fault.matches(request):
            return False
        self._seen += 1
        later = self._seen - fault.nth
        return later >= 0 and (fault.times is None or fault.action == "cut" or later < fault.times)

    def place_in(self, block: bytes) -> int | None:
        """How much of the next block of an upload is sent before it strikes; None if it does not strike."""
        if self.fault.byte is None:
            return len(block)
        if self._has_struck:
            return 0 if self.fault.action == "cut" else None
        place = self.fault.byte - self._sent
        self._sent += len(block)
        return place if 0 <= place <= len(block) else None

    def struck(self) -> None:
        if self.fault.action == "cut" and self.fault.when != "after" and not self._has_struck:
            self._lost = 1
        self._has_struck = True


class FaultyStore(Around):
    """A store around another that keeps a log and applies faults; only the first matching fault strikes.

    A kill calls `on_kill` (a real `os.kill` in a subprocess) and raises `Killed`. After that every
    request raises `Killed` and is not logged: no thread of a dead process does anything.
    A term calls `on_term`; by default this process gets the SIGTERM.
    """

    def __init__(
        self,
        inner: Store,
        faults: Iterable[Fault] = (),
        *,
        on_kill: Callable[[], object] | None = None,
        on_term: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(inner)
        self.inner = inner
        self.log: list[Request] = []
        self._faults = [Armed(fault) for fault in faults]
        self._saves = Saves()
        self._on_kill = on_kill
        self._on_term = on_term or partial(signal.raise_signal, signal.SIGTERM)
        self._lock = threading.Lock()
        self._dead = False

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        armed = self._start("read", key)
        body, token = self._run(armed, lambda: self.inner.read(key, limit))
        return _corrupted(armed, body), token

    def create(self, key: str, body: bytes) -> Token:
        armed = self._start("create", key, body)
        return self._write(armed, key, body, lambda: self.inner.create(key, body))

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        armed = self._start("replace", key, body)
        return self._write(armed, key, body, lambda: self.inner.replace(key, body, token))

    def list(self, folder: str) -> Iterator[Entry]:
        return iter(self._run(self._start("list", folder), lambda: [*self.inner.list(folder)]))

    def folders(self, folder: str) -> Sequence[str]:
        return self._run(self._start("list", folder), lambda: self.inner.folders(folder))

    def delete(self, keys: Iterable[str]) -> None:
        listed = [*keys]
        armed = self._start("delete", " ".join(listed))
        if armed and armed.when == "during":
            self.inner.delete(listed[:1])
            self._strike(armed)
        self._run(armed, lambda: self.inner.delete(listed))

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        body = b""
        if self._saves.tells(key):  # written without a condition, where the last writer wins
            blocks = [body := b"".join(blocks)]
        armed = self._start("upload", key, body)
        if armed and armed.when == "during":
            blocks = self._broken_off(armed, blocks)
        return self._write(armed, key, body, lambda: self.inner.upload(key, blocks))

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        armed = self._start("download", key)
        body = self._run(armed, lambda: b"".join(self.inner.download(key, start, length)))
        if armed and armed.when == "during":
            yield body[: len(body) // 2]
            self._strike(armed)
            yield body[len(body) // 2 :]
        else:
            yield _corrupted(armed, body)

    def copy(self, source: str, key: str) -> None:
        self._run(self._start("copy", key), lambda: self.inner.copy(source, key))

    def _start(self, op: Op, key: str, body: bytes = b"") -> Armed | None:
        with self._lock:
            if self._dead:
                raise Killed
            request = Request(len(self.log) + 1, op, key, self._saves.number(op, key, body))
            self.log.append(request)
            hits = [armed for armed in self._faults if armed.hits(request)]
        return hits[0] if hits else None

    def _run(self, armed: Armed | None, perform: Callable[[], _T]) -> _T:
        if armed is None or armed.fault.action == "corrupt":
            return perform()
        when = armed.when
        if when == "before":
            self._strike(armed)
        result = perform()
        if when == "after":
            self._strike(armed)
        return result

    def _write(self, armed: Armed | None, key: str, body: bytes, perform: Callable[[], _T]) -> _T:
        def write() -> _T:
            answer = perform()
            self._wrote(key, body)
            return answer

        return self._run(armed, write)

    def _wrote(self, key: str, body: bytes) -> None:
        """For subclasses: a write succeeded, even if its reply is lost. `body` is empty for payload."""

    def _broken_off(self, armed: Armed, blocks: Iterable[bytes]) -> Iterator[bytes]:
        is_due = True
        for block in blocks:
            with self._lock:
                place = armed.place_in(block) if is_due else None
            if place is None:
                yield block
                continue
            # A store may need blocks of one size: only the block with the fault is cut in two.
            if sent := block if armed.fault.action == "term" else block[:place]:
                yield sent
            is_due = False
            self._strike(armed)
        if is_due and armed.fault.byte is None:
            self._strike(armed)  # there was nothing to send

    def _strike(self, armed: Armed) -> None:
        fault = armed.fault
        armed.struck()
        if fault.action == "term":
            self._on_term()
            return
        if fault.action == "cut":
            if armed.when == "after":
                return
            raise fault.error or StoreUnavailableError("injected: the network is lost")
        if fault.action == "fail":
            raise fault.error or StoreUnavailableError(f"injected {fault.when} the request")
        with self._lock:
            self._dead = True
        if self._on_kill:
            self._on_kill()
        raise Killed


def _corrupted(armed: Armed | None, body: bytes) -> bytes:
    if armed is None or armed.fault.action != "corrupt" or not body:
        return body
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
