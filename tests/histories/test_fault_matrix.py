"""The fault matrix: a life of a node, and something that goes wrong at each of its requests.

The life has everything in it: saves of folders, files and bytes, retention and sweeps, a choice by `use`
and one by a text editor, a lost LATEST, restores that follow, adopt, and copy forward. It is lived once
for each request and each kind of fault. Whatever the fault was, the next attempt must find what was
confirmed last (or what was just being confirmed), whole, and be able to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest

from ckptptr.errors import CkptptrError, IncompleteError, SupersededError
from ckptptr.protocol.retention import Retention
from ckptptr.session.content import BYTES_NAME
from ckptptr.testing import Fault, FaultyStore
from ckptptr.testing.faults import Killed
from tests.helpers import FLYTE, PLAIN, Immediate, Meanwhile, Paused, Process, World
from tests.sampling import sampled

KEEP_TWO = Retention(keep_last=2)
NEVER = 10**6
CHUNKS = 75  # odd, so that each has faults of every kind


class Life:
    """The life, and what the next restore may return at each moment of it.

    Attributes:
        contents: what was saved as each step.
        possible: the steps that a restore may return now; None is a fresh start. More than one only
            while something is under way.
    """

    def __init__(self, world: World, *faults: Fault) -> None:
        self.world = world
        self.store = FaultyStore(world.store, faults)
        self.attempt = 0
        self.contents: dict[int, dict[str, str]] = {}
        self.possible: set[int | None] = {None}
        self._is_held = False
        self._content: dict[str, str] = {}

    def live(self) -> None:
        world, choose = self.world, self.world.person(self.store)

        run = self.begin(0)
        self.save_folder(run, 1, model="1", frozen="same")
        self.save_file(run, 2, "opt", "2")
        self.save_folder(run, 3, model="3", frozen="same")
        self.save_bytes(run, 4, "four")
        self.save_folder(run, 5, model="5", frozen="same")
        self.choose(4, lambda: choose.use(self.reference(4), "diverged"))
        self.save_folder(run, 6, model="6, beside the hold")

        run = self.begin(1)
        self.restore(run)
        self.save_file(run, 7, "opt", "7")
        self.save_folder(run, 8, model="8", frozen="same")
        world.delete_latest()

        run = self.begin(2, Paused())
        self.restore(run)
        run.background.catch_up()
        self.save_file(run, 9, "opt", "9")
        for step in (10, 11, 12):
            self.save_folder(run, step, model=str(step), frozen="same")
            run.background.catch_up()
        self.choose(11, lambda: world.write(self.reference(11)))

        run = self.begin(3)
        self.restore(run)
        self.save_file(run, 13, "opt", "13")
        self.save_file(run, 14, "rng", "14")

    def begin(self, attempt: int, background: Immediate | None = None) -> Process:
        self.attempt = attempt
        self._content = {}
        return self.world.process(attempt, store=self.store, retention=KEEP_TWO, background=background)

    def save_folder(self, run: Process, step: int, **content: str) -> None:
        self._save(step, content, lambda: run.save(content, step=step))

    def save_file(self, run: Process, step: int, name: str, text: str) -> None:
        self._save(step, {**self._content, name: text}, lambda: run.save_file(name, text, step=step))

    def save_bytes(self, run: Process, step: int, text: str) -> None:
        self._save(step, {BYTES_NAME: text}, lambda: run.save_bytes(text.encode(), step=step))

    def choose(self, step: int, act: Callable[[], object]) -> None:
        self._do(act, step)
        self._is_held = True

    def restore(self, run: Process) -> None:
        restored = run.restore()
        (step,) = self.possible
        assert restored == (None if step is None else self.contents[step])
        self._is_held = False
        self._content = restored or {}

    def reference(self, step: int) -> str:
        """The newest checkpoint of a step; a forward copy, where there is one."""
        return [name for name in self.world.committed() if self.world.manifest(name).step == step][-1]

    def _save(self, step: int, content: dict[str, str], act: Callable[[], object]) -> None:
        self.contents[step] = content
        self._do(act, step, moves=not self._is_held)
        self._content = content

    def _do(self, act: Callable[[], object], step: int, *, moves: bool = True) -> None:
        """What `moves` LATEST to a step; a failure that is no kill is tried once more, as a task would."""
        if moves:
            self.possible |= {step}
        try:
            act()
        except CkptptrError:
            act()
        if moves:
            self.possible = {step}


class LifeOfRanks(Life):
    """A life in parts: retention and sweeps, a hold, another number of ranks, a straggler of an old round."""

    def live(self) -> None:
        self.world.clock = Meanwhile()
        two = self.begin_round(2)
        for step in (1, 2, 3):
            self.save_parts(two, step)
        self.choose(2, lambda: self.world.person(self.store).use(self.reference(2)))
        self.save_parts(two, 4)

        self.attempt = 1
        three = self.begin_round(3)
        self.restore(three[0])
        for step in (5, 6):
            self.save_parts(three, step)
        with suppress(SupersededError, IncompleteError):
            self._share(two, 0, 7)
        self.save_file(three[1], 8, "more", "8")
        self.save_parts(three, 9)

    def begin_round(self, size: int) -> list[Process]:
        self._content = {}
        return [
            self.world.process(
                self.attempt, store=self.store, retention=KEEP_TWO, incarnation=f"round of {size}"
            )
            for _ in range(size)
        ]

    def save_parts(self, ranks: list[Process], step: int) -> None:
        """All ranks save, one while the one before waits."""

        def save(rank: int) -> None:
            if rank + 1 < len(ranks):
                self.world.clock.acts = [lambda: save(rank + 1)]  # type: ignore[attr-defined]
            self._share(ranks, rank, step)

        content = {f"rank{rank}": f"{rank} at {step}" for rank in range(len(ranks))}
        self._save(step, content, lambda: save(0))

    def _share(self, ranks: list[Process], rank: int, step: int) -> None:
        parts = ranks[rank].checkpoints.parts(rank, len(ranks), deadline=60)
        parts.save(self.world.folder({f"rank{rank}": f"{rank} at {step}"}), step=step)


def check_the_sequel(life: Life, what: str) -> None:
    """Whatever has happened: all that is named is whole, and the next attempts find it and go on."""
    pointer = life.world.seen().pointer
    if pointer is not None and not pointer.edited:
        broken = [name for name in life.world.named() if not life.world.is_whole(name)]
        assert not broken, f"{what}: LATEST names {broken}"
    with_latest, without = life.world, life.world.fork()
    run = with_latest.process(life.attempt + 1)
    restored = run.restore()
    assert restored in [None if step is None else life.contents[step] for step in life.possible], (
        f"{what}: restored {restored}, possible were steps {life.possible}"
    )
    goes_on(with_latest, life.attempt + 1, run, restored, what)

    without.delete_latest()
    whole = [name for name in without.committed() if without.is_whole(name)]
    expected = without.content(whole[-1]) if whole else None
    run = without.process(life.attempt + 1)
    restored = run.restore()
    assert restored == expected, f"{what}, and LATEST lost: restored {restored} instead of {expected}"
    assert None in life.possible or restored is not None, f"{what}, and LATEST lost: a fresh start"
    goes_on(without, life.attempt + 1, run, restored, f"{what}, and LATEST lost")


def goes_on(world: World, attempt: int, run: Process, content: dict[str, str] | None, what: str) -> None:
    run.save_file("more", "after the fault", step=99)
    assert run.background.failures == [], what
    expected = {**(content or {}), "more": "after the fault"}
    assert world.process(attempt + 1).restore() == expected, f"{what}: what was saved next is not found"


def live(folder: Path, key: str, *faults: Fault, kind: type[Life] = Life) -> Life:
    folder.mkdir(parents=True)
    life = kind(World(folder, key), *faults)
    with suppress(Killed):
        life.live()
    return life


@pytest.mark.parametrize("key", [PLAIN, FLYTE], ids=["plain", "flyte"])
def test_without_a_fault_the_life_is_as_it_reads(tmp_path: Path, key: str) -> None:
    life = live(tmp_path / "life", key)
    assert life.possible == {14}
    assert life.contents[14] == {"model": "11", "frozen": "same", "opt": "13", "rng": "14"}
    check_the_sequel(life, "no fault")


@pytest.mark.parametrize("chunk", sampled(range(CHUNKS)))
def test_a_fault_at_any_request_loses_nothing_that_was_confirmed(tmp_path: Path, chunk: int) -> None:
    requests = live(tmp_path / "count", PLAIN).store.log
    assert len(requests) > 150
    matrix = list(product(requests, ["kill", "fail"], ["before", "after"]))
    for number, (request, action, when) in list(enumerate(matrix))[chunk::CHUNKS]:
        fault = Fault(action, when=when, nth=request.n)  # type: ignore[arg-type]
        life = live(tmp_path / str(number), PLAIN, fault)
        check_the_sequel(life, f"{action} {when} request {request.n} ({request.op} {request.key})")


@pytest.mark.parametrize("chunk", sampled(range(CHUNKS)))
def test_a_fault_at_any_request_of_ranks_loses_no_part_that_was_confirmed(tmp_path: Path, chunk: int) -> None:
    whole = live(tmp_path / "count", PLAIN, kind=LifeOfRanks)
    assert whole.possible == {9}
    matrix = list(product(whole.store.log, ["kill", "fail"], ["before", "after"]))
    for number, (request, action, when) in list(enumerate(matrix))[chunk::CHUNKS]:
        fault = Fault(action, when=when, nth=request.n)  # type: ignore[arg-type]
        life = live(tmp_path / str(number), PLAIN, fault, kind=LifeOfRanks)
        check_the_sequel(life, f"{action} {when} request {request.n} ({request.op} {request.key})")


@pytest.mark.slow
@pytest.mark.parametrize("op", ["upload", "delete"])
def test_a_kill_in_the_middle_of_an_upload_or_a_deletion_loses_nothing(tmp_path: Path, op: str) -> None:
    requests = [request for request in live(tmp_path / "count", PLAIN).store.log if request.op == op]
    assert len(requests) > 10
    for nth, request in enumerate(requests, 1):
        life = live(tmp_path / str(nth), PLAIN, Fault("kill", when="during", op=op, nth=nth))  # type: ignore[arg-type]
        check_the_sequel(life, f"killed during request {request.n} ({op} {request.key})")
