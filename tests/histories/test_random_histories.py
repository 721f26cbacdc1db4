"""Random histories of one node, judged by a witness.

Attempts start and die at any request, zombies go on, ranks save side by side, people edit, choose and
pin, sweeps and forward copies come late, replies get lost. Whatever happens, the rules of
`tests.histories.witness` hold at every moment, a restore returns what LATEST said or walked back to
something no older, the bytes are those that were saved under that id, and in the end nothing lies
around. The seed is the history: a failure names it.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ckptptr.errors import (
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    StoreUnavailableError,
    SupersededError,
)
from ckptptr.protocol.retention import Retention
from ckptptr.session import background_sweeps as sweeping
from ckptptr.testing import Fault
from tests.helpers import LAYOUTS, Paused, Process, World, id_of
from tests.histories.turns import Paced, Turn
from tests.histories.witness import Witness, Witnessed
from tests.sampling import sampled

HISTORIES = 150
CHUNKS = 15

MAY_END_A_SAVE = (SupersededError, ConflictError, StoreUnavailableError, OutcomeUnknownError, DamagedError)
MAY_END_A_RESTORE = (SupersededError, ConflictError, StoreUnavailableError, OutcomeUnknownError)
MAY_END_A_CHOICE = (InvalidArgumentError, NotFoundError, DamagedError, ConflictError)


class Pod:
    """A process of an attempt that does one thing at a time, request by request."""

    def __init__(self, history: History, attempt: int, incarnation: str) -> None:
        self.history = history
        self.store = Paced(history.bucket)
        self.process: Process = history.world.process(
            attempt,
            *history.some_faults(),
            store=self.store,
            retention=history.retention,
            background=Paused(),
            incarnation=incarnation,
        )
        self.attempt = attempt
        self.turn: Turn | None = None
        self.verb = ""
        self.has_restored = False

    @property
    def is_idle(self) -> bool:
        return self.turn is None

    def begin(self) -> None:
        """Start something to do: restore first, as a task does, then mostly save."""
        chance = self.history.random
        waiting = self.process.background.waiting  # type: ignore[attr-defined]
        if not self.has_restored:
            self._start("restore", self._restore)
        elif waiting and chance.random() < 0.5:
            what = waiting[0][0]
            verb = "forward copy" if "copy" in what else "sweep"
            self._start(verb, lambda: self.process.background.catch_up(what))  # type: ignore[attr-defined]
        else:
            self._start("save", self._save)

    def advance(self) -> None:
        """One request further."""
        assert self.turn is not None
        self.history.witness.acting = self.verb
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
        if error is None:
            return
        allowed = {"save": MAY_END_A_SAVE, "restore": MAY_END_A_RESTORE}.get(self.verb, ())
        assert isinstance(error, allowed), f"{self.verb} ended with {error!r}"
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
        name = chance.choice(["model", "opt", f"rank-{id(self) % 3}"])
        if chance.random() < 0.5:
            saved = self.process.save({"model": f"step {step}", "frozen": "same"}, step=step)
        else:
            saved = self.process.save_file(name, f"step {step}", step=step)
        witness = history.witness
        is_passed = saved.reference not in witness.named_ever and not witness.states[-1].is_held
        assert is_passed or witness.contents[id_of(saved.reference)] is not None, "a broken one was confirmed"
        history.confirmed.add(self.attempt)


class History:
    """One history, made of one seed."""

    def __init__(self, seed: int, scratch: Path) -> None:
        self.random = random.Random(seed)
        self.world = World(scratch, self.random.choice(LAYOUTS))
        self.witness = Witness(self.world)
        self.bucket = Witnessed(self.world.store)
        self.bucket.witness = self.witness
        self.retention = Retention(keep_last=self.random.choice([1, 2, 3]))
        self.perhaps_pinned: set[str] = set()
        self.knows_incarnations = self.random.random() < 0.5
        self.pods: list[Pod] = []
        self.newest = -1
        self.restarts = 0
        self.confirmed: set[int] = set()
        self._steps = 0

    def next_step(self) -> int:
        self._steps += 1
        return self._steps

    def some_faults(self) -> list[Fault]:
        if self.random.random() < 0.7:
            return []
        nth, when = self.random.randint(1, 60), self.random.choice(["before", "after"])
        return [Fault(when=when, nth=nth, times=self.random.choice([1, 1, 2]))]  # type: ignore[arg-type]

    def run(self) -> None:
        for _ in range(self.random.randint(50, 250)):
            self._tick()
            assert not self.witness.wrong, self.witness.wrong
        self._settle()

    def judge_restore(self, process: Process, restored: dict[str, str] | None, first: int) -> None:
        may_be_fresh = not any(attempt <= process.node.attempt for attempt in self.confirmed)
        self.witness.judge_restored(first, process.resolution, restored, may_be_fresh=may_be_fresh)

    # What may happen

    def _tick(self) -> None:
        busy = [pod for pod in self.pods if not pod.is_idle]
        idle = [pod for pod in self.pods if pod.is_idle]
        happenings = [
            (40 if busy else 0, lambda: self._advance(self.random.choice(busy))),
            (10 if idle else 0, lambda: self.random.choice(idle).begin()),
            (2 if len(self.pods) < 4 else 0, self._start_attempt),
            (1 if 0 < len(self.pods) < 4 else 0, self._start_rank),
            (0.5 if 0 < len(self.pods) < 4 else 0, self._restart_in_place),
            (1 if self.pods else 0, self._kill_one),
            (1, self._person_chooses),
            (1, self._person_edits),
            (0.5, self._latest_is_lost),
        ]
        weights = [weight for weight, _ in happenings]
        _, happen = self.random.choices(happenings, weights)[0]
        happen()

    def _advance(self, pod: Pod) -> None:
        for _ in range(self.random.choice([1, 1, 2, 5, 20])):
            if not pod.is_idle:
                pod.advance()

    def _start_attempt(self) -> None:
        self.newest += 1
        self.restarts = 0
        self._start_rank()

    def _start_rank(self) -> None:
        self.pods.append(Pod(self, self.newest, self._incarnation()))

    def _restart_in_place(self) -> None:
        """The container starts again inside its attempt; predecessors that are at work may live on."""
        for pod in [pod for pod in self.pods if pod.attempt == self.newest and not pod.has_restored]:
            self._kill(pod)
        self.restarts += 1
        self._start_rank()

    def _incarnation(self) -> str:
        return f"{self.newest}-{self.restarts}" if self.knows_incarnations else ""

    def _kill_one(self) -> None:
        self._kill(self.random.choice(self.pods))

    def _kill(self, pod: Pod) -> None:
        self.pods.remove(pod)
        pod.kill()

    def _person_chooses(self) -> None:
        committed = self.world.committed()
        if not committed:
            return
        person = self.world.person(self.bucket)
        reference = self.random.choice(committed)
        self.witness.acting = act = self.random.choice(["use", "use", "pin", "unpin"])
        before = self.witness.states[-1]
        try:
            if act == "use":
                person.use(reference if self.random.random() < 0.9 else "none")
                if self._was_going(before, reference):
                    self.witness.excused.add(reference)
            elif act == "pin":
                person.pin(reference)
                if before.is_held and self._was_going(before, reference):
                    self.perhaps_pinned.add(reference)  # its marker may have come too late
                else:
                    self.witness.pinned.add(reference)
            else:
                self.witness.pinned.discard(reference)
                person.unpin(reference)
        except MAY_END_A_CHOICE:
            pass

    def _was_going(self, before: object, reference: str) -> bool:
        """Whether a sweep may be deleting that one now, which nothing but a name in LATEST can stop."""
        pointer = before.pointer  # type: ignore[attr-defined]
        return pointer is None or pointer.find(reference) is None

    def _person_edits(self) -> None:
        committed = self.world.committed()
        if not committed:
            return
        reference = self.random.choice(committed)
        words = self.random.choice([reference, id_of(reference), "none", "no/such/checkpoint"])
        if self._was_going(self.witness.states[-1], reference):
            self.witness.excused.add(reference)
        self.witness.acting = "edit"
        if self._nothing_is_under_way() and self.random.random() < 0.3:
            self.world.write(words)
        elif self.witness.states[-1].body.startswith(b"{\n"):
            self.world.edit(checkpoint=words)
        self.witness.saw("upload", self.world.latest_key)

    def _latest_is_lost(self) -> None:
        """Only while nothing is under way: a LATEST that comes, goes and comes again fools a create."""
        if not self._nothing_is_under_way():
            return
        self.witness.acting = "edit"
        if self.random.random() < 0.5:
            self.world.delete_latest()
        else:
            self.world.write(self.random.choice(["", "{", "\0"]))
        self.witness.saw("upload", self.world.latest_key)

    def _nothing_is_under_way(self) -> bool:
        return all(pod.is_idle for pod in self.pods)

    def _settle(self) -> None:
        """All is quiet, one more attempt runs for a while: it finds what it must, and nothing lies around."""
        for pod in self.pods:
            pod.kill()
        self.newest += 1
        background = Paused()
        last = self.world.process(
            self.newest, store=self.bucket, retention=self.retention, background=background
        )
        self.witness.acting = "restore"
        first = len(self.witness.states) - 1
        restored = last.restore()
        self.judge_restore(last, restored, first)
        self.witness.acting = "forward copy"
        background.catch_up()
        for step in range(3 * sweeping.LISTING_EVERY + 3):
            self.witness.acting = "save"
            last.save({"model": f"in the end {step}", "frozen": "same"}, step=self.next_step())
            self.witness.acting = "sweep"
            background.catch_up()
        assert not self.witness.wrong, self.witness.wrong
        assert background.failures == []
        pinned = {*self.witness.pinned, *self.perhaps_pinned}
        borrowed = {key for name in pinned & {*self.world.committed()} for key in self.world.objects_of(name)}
        going = [*self.world.latest().expired, *pinned]
        strays = {*self.world.strays()} - borrowed
        strays = {key for key in strays if not any(id_of(name) in key for name in going)}
        assert strays == set(), "these lie around in the end"
        assert len(self.world.latest().expired) <= 2


@pytest.mark.parametrize("chunk", sampled(range(CHUNKS)))
def test_no_history_breaks_a_rule(tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "LISTING_EVERY", 4)
    for seed in range(chunk, HISTORIES, CHUNKS):
        scratch = tmp_path / str(seed)
        scratch.mkdir()
        history = History(seed, scratch)
        try:
            history.run()
        except (AssertionError, CkptptrError) as broken:
            raise AssertionError(f"seed {seed}: {broken}") from broken
        finally:
            for pod in history.pods:
                pod.kill()
