"""The outcome of an attempt: how it ended, what it restored, what it saved."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from ckptptr.testing.deaths import Death
from ckptptr.testing.events import Asked, Began, Event, Restored, Saved, Struck
from ckptptr.testing.literals import Scalar


class Ending(enum.Enum):
    """How an attempt ended, as Flyte sees it."""

    FINISHED = "finished"
    DIED = "died"
    RECOVERABLE = "asked for a retry"
    FAILED = "failed for good"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class Save:
    """A save that a task asked for.

    `step` is as the task gave it. If it gives none, saves are counted, from the restored seq on, or from 1
    after a fresh start. `checkpoint`: its reference if LATEST named it, else "".
    """

    step: int
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of one attempt.

    Attributes:
        signal: the number of the signal that killed it, or 0.
        exit_code: of its process; 0 if a signal killed it.
        outputs: of the task; None if it did not finish.
        error, kind: message and kind (`RECOVERABLE`, `NON_RECOVERABLE`) of its error document, or "".
        log: what it printed.
        events: what happened in it.
        seconds: how long it took.
        death: how it was ordered to die.
    """

    number: int
    signal: int
    exit_code: int
    outputs: dict[str, Scalar] | None
    error: str
    kind: str
    log: str
    events: tuple[Event, ...]
    seconds: float
    death: Death | None = None
    timed_out: bool = False

    @property
    def ending(self) -> Ending:
        """A signal or an exit code without an error document is a failed pod, which Flyte retries."""
        if self.timed_out:
            return Ending.TIMED_OUT
        if self.kind and not self.signal:
            return Ending.RECOVERABLE if self.kind == "RECOVERABLE" else Ending.FAILED
        if self.signal or self.exit_code or self.outputs is None:
            return Ending.DIED
        return Ending.FINISHED

    @property
    def requests(self) -> list[tuple[str, str]]:
        """The `(operation, key)` that ckptptr sent to the store."""
        return [(event.op, event.key) for event in self.events if isinstance(event, Asked)]

    @property
    def restored(self) -> Restored | None:
        """What its last restore returned; None if it did not restore."""
        return next((event for event in reversed(self.events) if isinstance(event, Restored)), None)

    @property
    def saves(self) -> list[Save]:
        """The saves that the task asked for, confirmed or not."""
        place, saves = 0, list[Save]()
        for event in self.events:
            match event:
                case Restored():
                    place = event.seq or 0
                case Began():
                    place += 1
                    saves.append(Save(place if event.step is None else event.step, ""))
                case Saved() if saves:
                    saves[-1] = replace(saves[-1], checkpoint=event.checkpoint)
        return saves

    @property
    def struck(self) -> bool:
        """Whether the ordered death happened. A death at save 9 does not, in a task that saves twice."""
        return any(isinstance(event, Struck) for event in self.events)

    @property
    def reason(self) -> str:
        """The first line of the error: `ValueError: no such layer`."""
        lines = self.error.rpartition("Message:")[2].strip().splitlines()
        return lines[0].strip() if lines else ""
