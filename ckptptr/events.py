"""What happens to checkpoints, for programs: each event is one line of the log and one call of each hook.

Names and fields are a promise: docs/events.md lists them, they keep their meaning, and new ones may come.
A `Watch` is around what takes time. The events inside it get its node and attempt; the event that has its
name, which is the outcome, also gets the seconds and the requests. If it fails, the watch emits the outcome.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import KW_ONLY, dataclass, fields, replace
from types import TracebackType
from typing import Literal, TypeAlias

from ckptptr.errors import CkptptrError, PreemptedError
from ckptptr.wording import printable

_log = logging.getLogger("ckptptr")

EXTRA = "ckptptr"
"""The attribute of a log record that has the fields of its event."""

Name: TypeAlias = Literal[
    "save",
    "restore",
    "adopt",
    "forward-copy",
    "sweep",
    "orphan-search",
    "conflict",
    "retry",
    "refusal",
    "preemption",
]
"""What happens: see docs/events.md."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. A field is None, or empty, if it does not apply or is not known.

    Args:
        name: what it was, a word of `Name`.
        message: one line for people.
        level: of Python's logging; a warning if a person may want to look.
        node: URL of the node prefix.
        attempt: the number of the attempt that this process is.
        checkpoint: the reference of the checkpoint.
        step: of the checkpoint.
        bytes: size of the payload that was saved, restored, copied or deleted.
        seconds: how long it took.
        requests: how many requests it sent to the store. A listing, a copy, an upload of one object and a
            download of one range are one each, however many pages or parts they have.
        verdict: how it ended, a word that depends on the name.
        error: the `code` of the error that it failed with; `error` for one that is not ckptptr's.
    """

    name: Name
    message: str
    _: KW_ONLY
    level: int = logging.INFO
    node: str = ""
    attempt: int | None = None
    checkpoint: str | None = None
    step: int | None = None
    bytes: int | None = None
    seconds: float | None = None
    requests: int | None = None
    verdict: str | None = None
    error: str | None = None


FIELDS = tuple(field.name for field in fields(Event) if field.name not in {"message", "level"})
"""What a log record has of an event beside its message and level."""

Hook: TypeAlias = Callable[[Event], object]


@dataclass(slots=True, eq=False)
class _Registered:
    hook: Hook
    has_failed: bool = False

    def __call__(self, event: Event) -> None:
        try:
            self.hook(event)
        except Exception as error:  # noqa: BLE001 - a hook must not harm a save
            if not self.has_failed:
                self.has_failed = True
                name = getattr(self.hook, "__qualname__", type(self.hook).__qualname__)
                _log.warning("the hook %s of on_event failed, and this is said once: %r", name, error)


_hooks: list[_Registered] = []
_inside = threading.local()
_watch: ContextVar[Watch | None] = ContextVar("ckptptr-watch", default=None)


def on_event(hook: Hook) -> Callable[[], None]:
    """Call `hook` with each `Event` of this process from now on; what is returned removes it.

    It runs in the thread in which the event happens, while a save waits for it: it must be quick, and must
    not call ckptptr. What it raises is logged once and harms nothing.
    """
    registered = _Registered(hook)
    _hooks.append(registered)

    def remove() -> None:
        with suppress(ValueError):  # removed before
            _hooks.remove(registered)

    return remove


def emit(event: Event) -> None:
    """Log an event, and tell it to each hook."""
    watch = _watch.get()
    event = replace(event, message=printable(event.message))
    if watch is not None:
        event = watch.completed(event)
    known = {name: getattr(event, name) for name in FIELDS}
    told = {name: value for name, value in known.items() if value is not None}
    _log.log(event.level, "%s", event.message, extra={EXTRA: told}, stacklevel=2)
    if _hooks and not getattr(_inside, "hook", False):  # what a hook itself causes is not told to hooks
        _inside.hook = True
        try:
            for hook in tuple(_hooks):
                hook(event)
        finally:
            _inside.hook = False


class Watch:
    """What takes time, in a `with` block; see the module. Threads that it starts belong to it.

    Args:
        name: of the event that is its outcome.
        node, attempt: whose it is; without them, those of the watch around it.
        goes_on: it is in the background, and a failure is no error for the program.
    """

    def __init__(
        self, name: Name, node: str = "", attempt: int | None = None, *, goes_on: bool = False
    ) -> None:
        around = _watch.get()
        self._name = name
        self._node: str = node or (around._node if around else "")
        self._attempt: int | None = around._attempt if around and attempt is None else attempt
        self._goes_on = goes_on
        self._lock = threading.Lock()
        self._requests = 0
        self._began = time.monotonic()
        self._before: Token[Watch | None] | None = None

    def __enter__(self) -> Watch:
        self._began = time.monotonic()
        self._before = _watch.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # A preemption has its own event; what it ends in the background does not.
            if isinstance(error, Exception) and (self._goes_on or not isinstance(error, PreemptedError)):
                emit(self._failure(error))
        finally:
            if self._before is not None:
                _watch.reset(self._before)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    def completed(self, event: Event) -> Event:
        """The event, with what this watch knows."""
        event = replace(
            event,
            node=event.node or self._node,
            attempt=self._attempt if event.attempt is None else event.attempt,
        )
        if event.name != self._name:
            return event
        return replace(event, seconds=round(self.seconds, 6), requests=self._requests)

    def _failure(self, error: Exception) -> Event:
        what, code = f"the {self._name.replace('-', ' ')} failed", CkptptrError.code
        why: object = type(error).__name__  # more may be a URL with a secret in it; and it is raised as well
        if isinstance(error, CkptptrError):
            why, code = error, error.code
        told = f"after {self.seconds:.1f} s: {why}"
        if self._goes_on:
            told = f"and will be done another time: {error}"
        return Event(self._name, f"{what} {told}", level=logging.WARNING, error=code)

    def _count(self) -> None:
        with self._lock:
            self._requests += 1


def count_request() -> None:
    """A request is sent to the store."""
    watch = _watch.get()
    if watch is not None:
        watch._count()
