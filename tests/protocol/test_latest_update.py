"""An update of LATEST decides again where others move LATEST first, a bounded number of times."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ckptptr.errors import ConflictError
from ckptptr.protocol.latest import MOVES, WRITES, Latest, Move, Seen
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.stores.memory import MemoryStore
from ckptptr.testing import Fault, FaultyStore
from tests.helpers import FakeClock, Interleaved

OURS = "home/manifests/0000000002-a0000-ourownxy.json"


def pointer(seq: int, note: str = "") -> Pointer:
    return Pointer(
        target=Target(checkpoint=f"home/manifests/{seq:010d}-a0000-othersxy.json", seq=seq), note=note
    )


def noted(seen: Seen) -> Move:
    """What LATEST says, with our word added to its note."""
    assert seen.pointer is not None
    return Move(msgspec.structs.replace(seen.pointer, note=seen.pointer.note + "+ours"))


class Scene:
    def __init__(self, *faults: Fault) -> None:
        self.clock = FakeClock()
        self.bucket = MemoryStore()
        self.others = Latest(self.bucket, "b/run", self.clock, "others")
        self.others.swap(Seen(), pointer(1))
        self.watched = Interleaved(self.bucket)
        self.store = FaultyStore(self.watched, faults)  # type: ignore[arg-type]
        self.ours = Latest(self.store, "b/run", self.clock, "we")

    def now(self) -> Pointer:
        now = self.others.read().pointer
        assert now is not None
        return now

    def others_move(self, turn: int, to: Pointer) -> None:
        self.watched.add("before", "replace", "", turn, lambda: self.others.swap(self.others.read(), to))

    def writes(self) -> int:
        return sum(request.op == "replace" for request in self.store.log)


def test_what_others_wrote_meanwhile_is_decided_upon_again() -> None:
    scene = Scene()
    scene.others_move(1, pointer(2, "theirs"))
    updated = scene.ours.update(noted)
    assert scene.now().note == "theirs+ours"
    assert updated.outcome is None
    assert updated.before.pointer is not None
    assert updated.before.pointer.note == "theirs"
    assert updated.seen.pointer == scene.now()


def test_a_decision_that_is_no_move_ends_the_update_and_leaves_latest_alone() -> None:
    scene = Scene()
    before = scene.now()
    updated = scene.ours.update(lambda _: "as it should be")
    assert updated.outcome == "as it should be"
    assert updated.seen is updated.before
    assert (scene.now(), scene.writes()) == (before, 0)


def test_what_was_seen_before_is_not_read_again() -> None:
    scene = Scene()
    scene.ours.update(noted, scene.others.read())
    assert [request.op for request in scene.store.log] == ["replace"]


def test_a_decision_may_be_made_on_a_newer_latest_than_it_was_given() -> None:
    scene = Scene()
    old = scene.others.read()
    scene.others.swap(old, pointer(2, "newer"))

    def decide(_: Seen) -> Move:
        newer = scene.others.read()
        return Move(noted(newer).pointer, seen=newer)

    updated = scene.ours.update(decide, old)
    assert (scene.now().note, scene.writes()) == ("newer+ours", 1)
    assert updated.before.pointer is not None
    assert updated.before.pointer.note == "newer"


def test_a_won_move_that_publishes_is_decided_upon_once_more() -> None:
    scene = Scene()
    asked: list[Seen] = []

    def decide(seen: Seen) -> Move | str:
        asked.append(seen)
        mine = Pointer(target=Target(checkpoint=OURS, seq=2))
        return "named" if seen.is_proof_of(OURS) else Move(mine, publishes=OURS)

    updated = scene.ours.update(decide)
    assert (updated.outcome, len(asked), scene.writes()) == ("named", 2, 1)
    assert updated.seen is asked[1]


def test_it_gives_up_after_a_bounded_number_of_conflicts_and_a_last_look() -> None:
    scene = Scene()
    for turn in range(1, MOVES + 1):
        scene.others_move(turn, pointer(turn + 1))
    with pytest.raises(ConflictError, match=f"moved by others each of the {MOVES} times"):
        scene.ours.update(noted)
    assert scene.writes() == MOVES
    now = scene.now()
    assert now == msgspec.structs.replace(
        pointer(MOVES + 1),
        published_by="others",
        write_id=now.write_id,
        moved_by="others",
        moved_at=now.moved_at,
    )


def test_the_last_look_may_still_find_that_nothing_is_left_to_do() -> None:
    scene = Scene()
    for turn in range(1, MOVES + 1):
        scene.others_move(turn, pointer(turn + 1))
    last = pointer(MOVES + 1).target

    def decide(seen: Seen) -> Move | str:
        assert seen.pointer is not None
        return "theirs will do" if seen.pointer.target == last else noted(seen)

    assert scene.ours.update(decide).outcome == "theirs will do"


def test_the_budget_of_an_update_is_what_the_protocol_says() -> None:
    """Each move fails on the network until its last write, and meets a move of others then."""
    scene = Scene(
        *(Fault(op="replace", nth=WRITES * move + 1, times=WRITES - 1) for move in range(MOVES)),
    )
    for turn in range(1, MOVES + 1):
        scene.others_move(turn, pointer(turn + 1))
    with pytest.raises(ConflictError):
        scene.ours.update(noted)
    assert scene.writes() == MOVES * WRITES
    assert scene.clock.slept < 120
    protocol = " ".join((Path(__file__).parents[2] / "PROTOCOL.md").read_text().split())
    assert f"at most {MOVES} moves, each written at most {WRITES} times: {MOVES * WRITES} writes" in protocol
