"""A random history of one node, judged by a witness.

Attempts start and die at any request, zombies go on, ranks save side by side, alone and in parts, people
edit, choose, pin, drop and put, sweeps and forward copies come late, replies get lost; on every kind of
store, in every layout, with and without an origin. Whatever happens, the rules of `tests.histories.witness`
hold at every moment, a restore returns what LATEST said or walked back to something no older, the bytes are
those that were saved under that id, and in the end nothing lies around. The seed is the history.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

from ckptptr.protocol.retention import Retention
from ckptptr.session.background_sweeps import NEAREST
from ckptptr.testing import Fault
from tests.helpers import Paused, Process, id_of
from tests.histories.people import Person
from tests.histories.places import STORES, Place, Setting
from tests.histories.pods import Pod, Round
from tests.histories.served import Served
from tests.histories.witness import Witness, Witnessed


class History:
    """One history, made of one seed.

    Args:
        stores: the kinds that one is drawn from.
        served: makes the bucket on a real server.

    Attributes:
        done: how often what was done.
        search_every: saves between two searches for orphans: in a history there are not fifty.
    """

    search_every = 4

    def __init__(
        self,
        seed: int,
        scratch: Path,
        stores: tuple[str, ...] = STORES,
        served: Served | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.setting = setting = Setting.drawn(self.random, stores)
        self.place = Place(scratch, setting, served(setting.store) if served else None)
        before = self.place.before
        self.witness = Witness(
            self.place, is_fair=setting.is_fair, contents={**before}, foreign=frozenset(before)
        )
        self.bucket = Witnessed(self.place.store)
        self.bucket.witness = self.witness
        self.person = Person(self)
        self.retention = Retention(keep_last=self.random.choice([1, 2, 3]))
        self.knows_incarnations = self.random.random() < 0.6
        self.pods: list[Pod] = []
        self.newest = self.place.first_attempt - 1
        self.restarts = 0
        self.confirmed: set[int] = set()
        self.done: Counter[str] = Counter()
        self._steps = 0

    def next_step(self) -> int:
        self._steps += 1
        return self._steps

    def some_faults(self) -> tuple[Fault, ...]:
        if self.random.random() < 0.7:
            return ()
        nth, when = self.random.randint(1, 60), self.random.choice(["before", "after"])
        return (Fault(when=when, nth=nth, times=self.random.choice([1, 1, 2])),)  # type: ignore[arg-type]

    def run(self) -> None:
        self.done[f"on {self.setting.store}"] += 1
        for _ in range(self.random.randint(50, 250)):
            self._tick()
            assert not self.witness.wrong, self.witness.wrong
        self._settle()

    def end(self) -> None:
        """No process goes on."""
        for pod in self.pods:
            pod.kill()

    def judge_restore(self, process: Process, restored: dict[str, str] | None, first: int) -> None:
        attempt = process.node.attempt
        if self.place.may_begin(attempt):
            may_be_fresh = False
        else:
            there = any(earlier <= attempt for earlier in self.confirmed)
            may_be_fresh = not there or self.witness.has_outlived(attempt, first)
        self.witness.judge_restored(first, process.resolution, restored, may_be_fresh=may_be_fresh)

    def nothing_is_under_way(self) -> bool:
        return all(pod.is_idle for pod in self.pods)

    # What may happen

    def _tick(self) -> None:
        busy = [pod for pod in self.pods if not pod.is_idle]
        idle = [pod for pod in self.pods if pod.is_idle]
        happenings = [
            (40 if busy else 0, lambda: self._advance(self.random.choice(busy))),
            (10 if idle else 0, lambda: self.random.choice(idle).begin()),
            (2 if len(self.pods) < 4 else 0, self._start_attempt),
            (1 if 0 < len(self.pods) < 4 else 0, lambda: self._start_rank(self._rounds[-1])),
            (0.5 if 0 < len(self.pods) < 4 else 0, self._restart_in_place),
            (1 if self.pods else 0, lambda: self._kill(self.random.choice(self.pods))),
            (1.5, self.person.choose),
            (1, self.person.edit),
            (0.5, self.person.lose_latest),
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
        self._start_round()

    def _start_round(self) -> None:
        token = f"{self.newest}-{self.restarts}" if self.knows_incarnations else ""
        round_ = Round(self.newest, token, self.random.choice([1, 2, 2, 3]))
        self._rounds = [round_]
        for _ in range(round_.size if token and self.random.random() < 0.5 else 1):
            self._start_rank(round_)

    def _start_rank(self, round_: Round) -> None:
        self.pods.append(Pod(self, round_))
        self.done["pod started"] += 1

    def _restart_in_place(self) -> None:
        """The container starts again inside its attempt; predecessors that are at work may live on."""
        for pod in [pod for pod in self.pods if pod.attempt == self.newest and not pod.has_restored]:
            self._kill(pod)
        self.restarts += 1
        self._start_round()

    def _kill(self, pod: Pod) -> None:
        self.pods.remove(pod)
        pod.kill()
        self.done["pod killed"] += 1

    def _settle(self) -> None:
        """All is quiet, one more attempt runs for a while: it finds what it must, and nothing lies around."""
        self.end()
        place, witness, background = self.place, self.witness, Paused()
        self.newest += 1
        last = Process(
            place,
            place.node_of_run(self.newest),
            store=self.bucket,  # type: ignore[arg-type]
            retention=self.retention,
            background=background,
            search_every=self.search_every,
        )
        witness.acting = "restore"
        first = len(witness.states) - 1
        restored = last.restore()
        self.judge_restore(last, restored, first)
        witness.acting = "forward copy"
        background.catch_up()
        for step in range(3 * self.search_every + 3):
            witness.acting = "save"
            last.save({"model": f"in the end {step}", "frozen": "same"}, step=self.next_step())
            witness.acting = "sweep"
            background.catch_up()
        assert not witness.wrong, witness.wrong
        assert background.failures == []
        pinned = {*witness.pinned, *self.person.perhaps_pinned}
        borrowed = {key for name in pinned & {*place.committed()} for key in place.objects_of(name)}
        going = [*place.latest().expired, *pinned]
        strays = {*place.strays()} - borrowed
        strays = {key for key in strays if not any(id_of(name) in key for name in going)}
        if not last.node.folder:  # section 11: orphans of long ago
            strays = {key for key in strays if _attempt_of(key) >= self.newest - NEAREST}
        assert strays == set(), "these lie around in the end"
        assert len(place.latest().expired) <= 2


def _attempt_of(key: str) -> int:
    """The attempt that wrote an object: its id tells."""
    return int(re.findall(r"/\d{10}-a(\d+)-", key)[-1])
