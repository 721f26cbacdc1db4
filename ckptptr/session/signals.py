"""One handler for a signal, and all that listen to it: blocks of several tasks may be in force at once.

Python lets handlers change in the main thread only. So `listen` and `leave` run there, and need no lock.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, TypeAlias

from ckptptr.errors import PreemptedError

Listener: TypeAlias = Callable[[int, "FrameType | None"], None]


@dataclass(slots=True)
class _Heard:
    """A signal with listeners: its handler before, and the process that put ours in."""

    before: Any = None
    process: int = 0
    listeners: list[Listener] = field(default_factory=list)


_heard: dict[int, _Heard] = {}


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
            heard.before = signal.signal(signal.Signals(number), _tell)
        except (ValueError, OSError):
            del _heard[number]
            raise


def leave(number: int, listener: Listener) -> Any:
    """Undo `listen`. The last one puts the handler back that was there before, and gets it."""
    heard = _heard.get(number)
    if heard is None or listener not in heard.listeners:
        return None
    if len(heard.listeners) > 1:
        heard.listeners.remove(listener)
        return None
    before = heard.before or signal.SIG_DFL  # None: it was not set by Python
    signal.signal(number, before)
    del _heard[number]
    return before


def _tell(number: int, frame: FrameType | None) -> None:
    """Handle the signal. Nothing is logged: what it interrupts may be in the middle of writing a line."""
    heard = _heard[number]
    if os.getpid() != heard.process:  # a fork, which is told to end by its parent: not our matter
        signal.signal(number, heard.before or signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    interrupts: PreemptedError | None = None
    for listener in reversed(heard.listeners):  # the innermost block first
        try:
            listener(number, frame)
        except PreemptedError as error:
            interrupts = interrupts or error
    if interrupts is not None:
        raise interrupts
