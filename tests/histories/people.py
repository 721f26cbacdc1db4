"""People: what somebody with the command line or a text editor does, between two requests of the pods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ckptptr.errors import ConflictError, DamagedError, InvalidArgumentError, NotFoundError
from ckptptr.protocol.choose import Chooser
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.protocol.sweep import search, sweep_by_hand
from ckptptr.session.content import change_of
from ckptptr.session.put import put
from ckptptr.session.session import Session
from ckptptr.transfer.progress import SAVING
from tests.helpers import id_of

if TYPE_CHECKING:
    from tests.histories.history import History

REFUSALS = (InvalidArgumentError, NotFoundError, DamagedError, ConflictError)


class Person:
    """Somebody who looks at the node of a history."""

    def __init__(self, history: History) -> None:
        self.history = history
        place, self.witness, self.random = history.place, history.witness, history.random
        self.place = place
        self.perhaps_pinned: set[str] = set()
        """Their marker may have come too late: section 11."""
        self._named_by_hand: set[str] = set()
        """A run may be deleting them: section 11."""

    def choose(self) -> None:
        """One command, about a checkpoint that is there."""
        committed = self.place.committed()
        if not committed:
            return
        store = self.history.bucket
        self.node = replace(self.place.node(0), attempt=max(9, self.history.newest + 1))
        self.latest = Latest(store, self.place.key, self.place.clock, "a person")  # type: ignore[arg-type]
        self.chooser = Chooser(store, self.node, self.latest, self.place.clock)  # type: ignore[arg-type]
        commands: dict[str, Callable[[str], object]] = {
            "use": lambda name: self.chooser.use(name if self.random.random() < 0.9 else "none"),
            "pin": self._pin,
            "unpin": self._unpin,
            "release": lambda _: self.chooser.release(),
            "release on": self.chooser.release,
            "rollback": lambda _: self.chooser.rollback(),
            "drop": lambda name: self.chooser.drop([self.chooser.droppable(name)]),
            "put": lambda _: self._put(),
            "sweep": lambda _: self._sweep(),
        }
        command = self.random.choices([*commands], [4, 2, 2, 1, 1, 1, 2, 1, 1])[0]
        self.witness.acting = command.partition(" ")[0]
        before, reference = self.witness.states[-1], self.random.choice(committed)
        try:
            commands[command](reference)
        except REFUSALS:
            self.history.done[f"person: {command}, refused"] += 1
            return
        self.history.done[f"person: {command}"] += 1
        pointer = self.witness.states[-1].pointer
        named = {target.checkpoint for target in pointer.retained} if pointer else set()
        self._named_by_hand |= {name for name in named if self._was_going(before, name)}
        if pointer is not None and pointer is not before.pointer and command not in ("pin", "unpin"):
            self.excuse_if_going(before, pointer.target.checkpoint)

    def edit(self) -> None:
        """Open LATEST in an editor, or write over it."""
        committed = self.place.committed()
        if not committed:
            return
        reference = self.random.choice(committed)
        words = self.random.choice([reference, id_of(reference), "none", "no/such/checkpoint"])
        self.excuse_if_going(self.witness.states[-1], reference)
        self.witness.acting = "edit"
        if self.history.nothing_is_under_way() and self.random.random() < 0.3:
            self.place.write(words)
        elif self.witness.states[-1].body.startswith(b"{\n"):
            self.place.edit(checkpoint=words)
        self.history.done["person: edit"] += 1
        self.witness.saw("upload", self.place.latest_key)

    def lose_latest(self) -> None:
        """Only while nothing is under way: a LATEST that comes, goes and comes again fools a create."""
        if not self.history.nothing_is_under_way():
            return
        self.witness.acting = "edit"
        if self.random.random() < 0.5:
            self.place.delete_latest()
        else:
            self.place.write(self.random.choice(["", "{", "\0"]))
        self.history.done["person: LATEST lost"] += 1
        self.witness.saw("upload", self.place.latest_key)

    def excuse_if_going(self, before: Seen, reference: str) -> None:
        """A sweep may be deleting that one now, which nothing but a name in LATEST can stop."""
        if self._was_going(before, reference):
            self.witness.excused.add(reference)

    def _was_going(self, before: Seen, reference: str) -> bool:
        return before.pointer is None or before.pointer.find(reference) is None

    def _pin(self, reference: str) -> None:
        before = self.witness.states[-1]
        self.chooser.pin(reference)
        is_going = self._was_going(before, reference) or reference in self._named_by_hand
        is_swept = any(pod.verb == "sweep" and not pod.is_idle for pod in self.history.pods)
        if (before.is_held and is_going) or (reference in self.witness.excused and is_swept):
            self.perhaps_pinned.add(reference)
            self.witness.excused.add(reference)
        else:
            self.witness.pinned.add(reference)

    def _unpin(self, reference: str) -> None:
        self.witness.pinned.discard(reference)
        self.chooser.unpin(reference)

    def _put(self) -> None:
        """Into the home of the last attempt."""
        history, place = self.history, self.place
        step, fence = history.next_step(), self.witness.states[-1].fence
        last = fence if fence >= 0 else history.newest
        session = Session(history.bucket, place.node(last), clock=place.clock)  # type: ignore[arg-type]
        change = change_of(place.folder({"by hand": f"step {step}"}))
        self.witness.acting = "put"
        reference = put(session, change, step=step, metadata={}, showing=SAVING)
        self.witness.acting = "use"
        self.chooser.use(reference)

    def _sweep(self) -> None:
        """By hand: what has expired, and the orphans."""
        store = self.history.bucket
        seen = self.latest.read()
        agreed = [*seen.expired, *search(store, self.node, seen).orphans]  # type: ignore[arg-type]
        sweep_by_hand(store, self.node, self.latest, agreed)  # type: ignore[arg-type]
