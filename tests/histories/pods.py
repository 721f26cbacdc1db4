"""Pods: the processes of a history. Each does one thing at a time, request by request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ckptptr.errors import (
    ConflictError,
    DamagedError,
    IncompleteError,
    OutcomeUnknownError,
    StoreUnavailableError,
    SupersededError,
)
from ckptptr.events import Event, on_event
from tests.helpers import Paused, Process, id_of
from tests.histories.turns import Paced, Turn

if TYPE_CHECKING:
    from tests.histories.history import History

PATIENCE = 20.0
"""Seconds that a rank waits for the parts of the others: a dozen looks."""

_SAVING = (SupersededError, ConflictError, StoreUnavailableError, OutcomeUnknownError, DamagedError)
MAY_END = {
    "restore": (SupersededError, ConflictError, StoreUnavailableError, OutcomeUnknownError),
    "save": _SAVING,
    "part": (*_SAVING, IncompleteError),
}


@dataclass
class Round:
    """What the ranks of one start share.

    Attributes:
        token: empty where they share none: then they save no parts.
        steps: those that a rank has begun to save in parts; every other rank does so too.
    """

    attempt: int
    token: str
    size: int
    ranks: int = 0
    steps: list[int] = field(default_factory=list)


class Pod:
    """A rank of a round."""

    def __init__(self, history: History, round_: Round) -> None:
        self.history = history
        self.round = round_
        self.attempt = round_.attempt
        self.rank = round_.ranks % round_.size
        round_.ranks += 1
        self.store = Paced(history.bucket)
        self.background = Paused()
        self.process = Process(
            history.place,
            history.place.node_of_run(round_.attempt),
            faults=history.some_faults(),
            store=self.store,  # type: ignore[arg-type]
            retention=history.retention,
            background=self.background,
            incarnation=round_.token,
            search_every=history.search_every,
        )
        self.turn: Turn | None = None
        self.verb = ""
        self.has_restored = False
        self._parts_saved = 0

    @property
    def is_idle(self) -> bool:
        return self.turn is None

    def begin(self) -> None:
        """Start something to do: restore first, as a task does, then mostly save."""
        chance, waiting = self.history.random, self.background.waiting
        is_behind = self._parts_saved < len(self.round.steps)
        if not self.has_restored:
            self._start("restore", self._restore)
        elif waiting and chance.random() < 0.5:
            what = waiting[0][0]
            self._start("forward copy" if "copy" in what else "sweep", lambda: self.background.catch_up(what))
        elif self.round.token and chance.random() < (0.8 if is_behind else 0.2):
            self._start("part", self._save_part)
        else:
            self._start("save", self._save)

    def advance(self) -> None:
        """One request further."""
        assert self.turn is not None
        self.history.witness.acting = "save" if self.verb == "part" else self.verb
        self.store.turn = self.turn
        self.turn.advance()
        if self.turn.is_over:
            self._end()

    def kill(self) -> None:
        if self.turn is not None:
            self.store.turn = self.turn
            self.turn.kill()

    def _start(self, verb: str, work: object) -> None:
        self.verb = verb
        self.turn = Turn(work)  # type: ignore[arg-type]

    def _end(self) -> None:
        error, self.turn = self.turn.error, None  # type: ignore[union-attr]
        self.history.done[f"{self.verb}, failed" if error else self.verb] += 1
        if error is None:
            return
        assert isinstance(error, MAY_END.get(self.verb, ())), f"{self.verb} ended with {error!r}"
        is_newest = self.attempt >= self.history.newest and self.history.restarts == 0
        assert not (is_newest and isinstance(error, SupersededError)), "the newest attempt is superseded"

    def _restore(self) -> None:
        history = self.history
        first = len(history.witness.states) - 1
        restored = self.process.restore()
        self.has_restored = True
        history.judge_restore(self.process, restored, first)

    def _save(self) -> None:
        history, chance = self.history, self.history.random
        step = history.next_step()
        name = chance.choice(["model", "opt", f"of-{self.rank}"])
        told: list[Event] = []
        forget = on_event(told.append)
        try:
            if chance.random() < 0.5:
                saved = self.process.save({"model": f"step {step}", "frozen": "same"}, step=step)
            else:
                saved = self.process.save_file(name, f"step {step}", step=step)
        finally:
            forget()
        (verdict,) = (e.verdict for e in told if (e.name, e.checkpoint) == ("save", saved.reference))
        content = history.witness.contents[id_of(saved.reference)]
        assert verdict == "passed" or content is not None, "a broken one was confirmed"
        if verdict == "held":
            assert history.witness.was_held_since_its_commit(saved.reference), "LATEST was not held any more"
        history.confirmed.add(self.attempt)

    def _save_part(self) -> None:
        """This rank's share of the next step that the round saves so; the first to come begins it."""
        history, round_ = self.history, self.round
        if self._parts_saved == len(round_.steps):
            round_.steps.append(history.next_step())
        step = round_.steps[self._parts_saved]
        self._parts_saved += 1
        parts = self.process.checkpoints.parts(self.rank, round_.size, deadline=PATIENCE)
        share = {f"rank{self.rank}-of-{round_.size}": f"step {step} of {round_.token}"}
        saved = parts.save(history.place.folder(share), step=step)
        content = history.witness.contents.get(id_of(saved.reference))
        if saved.reference in history.witness.named_ever:
            assert content is not None, "a broken one was confirmed"
            history.confirmed.add(self.attempt)
