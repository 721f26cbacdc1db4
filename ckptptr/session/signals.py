"""One handler for a signal, and all that listen to it: blocks of several tasks may be in force at once.

Other code installs handlers as well: a trainer does when its training begins. So `renew` looks, and installs
ours again, which calls theirs too. A trainer may later put back what it had found: each of our handlers is an
object that still works then, also when all blocks are over.

Python lets handlers change in the main thread only. So `listen`, `renew` and `leave` run there, and need no
lock.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TypeAlias

from ckptptr.errors import PreemptedError

log = logging.getLogger("ckptptr")

Handler: TypeAlias = Callable[[int, "FrameType | None"], object]

Listener: TypeAlias = Callable[[int, "FrameType | None", Callable[[], None]], None]
"""Called with the number, the frame, and what calls the handler of other code, once."""


@dataclass(slots=True, eq=False)
class _Heard:
    """A signal with listeners: its handler before, and the process that put ours in."""

    before: Any = None
    process: int = 0
    listeners: list[Listener] = field(default_factory=list)
    has_come: bool = False
    calls_theirs: bool = False
    named: set[str] = field(default_factory=set)


class _Ours:
    """Our handler, and the one of other code that stood in its place."""

    def __init__(self, heard: _Heard, theirs: Any = None) -> None:
        self.heard = heard
        self.theirs = theirs
        self._is_called = heard.has_come  # through theirs

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Nothing is logged: what the signal interrupts may be in the middle of writing a line."""
        heard = self.heard
        if os.getpid() != heard.process:  # a fork, which is told to end by its parent: not our matter
            self._step_aside(number, frame)
        elif heard.calls_theirs:  # which calls what it had found
            self.call_theirs(number, frame)
        elif not heard.listeners:
            self._step_aside(number, frame)
        else:
            heard.has_come = True
            _tell(heard, number, frame or sys._getframe(1), lambda: self.call_theirs(number, frame))

    @property
    def found(self) -> Any:
        """What would be in force without us."""
        return self.theirs if callable(self.theirs) else self.heard.before

    def call_theirs(self, number: int, frame: FrameType | None) -> None:
        """Call the handler of other code, if there is one and it was not called yet."""
        if self._is_called or not callable(self.theirs):
            return
        outer, self._is_called, self.heard.calls_theirs = self.heard.calls_theirs, True, True
        try:
            self.theirs(number, frame)
        finally:
            self.heard.calls_theirs = outer

    def _step_aside(self, number: int, frame: FrameType | None) -> None:
        """Do what would happen without us."""
        found = self.found
        if callable(found):
            found(number, frame)
        elif found is not signal.SIG_IGN and signal.getsignal(number) is self:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


_heard: dict[int, _Heard] = {}
os.register_at_fork(after_in_child=_heard.clear)  # those who listen there are the parent's


def listen(number: int, listener: Listener) -> None:
    """Call `listener` when the signal comes. The first one puts the handler in.

    Raises:
        ValueError, OSError: the signal cannot be handled, or this is not the main thread.
    """
    heard = _heard.setdefault(number, _Heard())
    heard.listeners.append(listener)
    if len(heard.listeners) == 1:
        heard.process = os.getpid()
        try:
            before = signal.signal(signal.Signals(number), _Ours(heard))
        except (ValueError, OSError):
            del _heard[number]
            raise
        while isinstance(before, _Ours):  # of the parent, or of a block that is over
            before = before.found
        heard.before = before


def is_replaced(number: int) -> bool:
    """Whether other code of this process has put in its own handler. Any thread may ask."""
    heard = _heard.get(number)
    return heard is not None and os.getpid() == heard.process and _is_of(heard, number) is None


def renew(number: int) -> None:
    """Put ours in again, over the handler of other code; warn once about each one."""
    if not is_replaced(number):
        return
    heard, theirs = _heard[number], signal.getsignal(number)
    signal.signal(number, _Ours(heard, theirs))
    name = _name(theirs)
    if name not in heard.named:
        heard.named.add(name)
        also = ", and calls that one too" if callable(theirs) else ""
        log.warning(
            "another handler of %s was installed inside the on_preemption block: %s. ckptptr installed its"
            " own again%s. A signal between the two is missed, unless theirs calls the handler that it found",
            signal.Signals(number).name,
            name,
            also,
        )


def leave(number: int, listener: Listener) -> list[Handler]:
    """Undo `listen`. The last one puts back the handler that was there before. One that other code has
    put in since stays.

    Returns:
        For the last one: those handlers; they were not called yet.
    """
    heard = _heard.get(number)
    if heard is None or listener not in heard.listeners:
        return []
    if len(heard.listeners) > 1:
        heard.listeners.remove(listener)
        return []
    ours, before = _is_of(heard, number), heard.before or signal.SIG_DFL  # None: it was not set by Python
    theirs = ours.theirs if ours else signal.getsignal(number)
    signal.signal(number, theirs if callable(theirs) else before)
    heard.listeners.clear()
    del _heard[number]
    return [*([ours.call_theirs] if ours else []), *([before] if callable(before) else [])]


def _tell(heard: _Heard, number: int, frame: FrameType, call_theirs: Callable[[], None]) -> None:
    interrupts: PreemptedError | None = None
    for listener in reversed(heard.listeners):  # the innermost block first
        try:
            listener(number, frame, call_theirs)
        except PreemptedError as error:
            interrupts = interrupts or error
    if interrupts is not None:
        raise interrupts


def _is_of(heard: _Heard, number: int) -> _Ours | None:
    """Our handler, if it is in force."""
    handler = signal.getsignal(number)
    return handler if isinstance(handler, _Ours) and handler.heard is heard else None


def _name(handler: Any) -> str:
    """The module and the name of a handler, for a person who looks for what installed it."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if isinstance(handler, signal.Handlers):
        return handler.name
    name = getattr(handler, "__qualname__", type(handler).__qualname__)
    by = " (add_signal_handler of an event loop)" if name == "_sighandler_noop" else ""
    return f"{getattr(handler, '__module__', '?')}.{name}{by}"
