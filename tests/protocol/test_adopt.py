"""Adopt: a restore that does not simply follow LATEST makes LATEST say what it returns, once."""

from __future__ import annotations

import pytest
from msgspec import to_builtins
from msgspec.structs import replace

from ckptptr.errors import OutcomeUnknownError, StoreUnavailableError, SupersededError
from ckptptr.protocol.retention import Retention
from ckptptr.testing import Fault
from tests.helpers import Paused, Process, World


def saved(world: World, attempt: int, *steps: int, **settings: object) -> Process:
    process = world.process(attempt, **settings)
    for step in steps:
        process.save({"model": f"step {step}"}, step=step)
    return process


def test_a_restore_that_follows_latest_writes_nothing(world: World) -> None:
    saved(world, 0, 1, 2)
    before = world.store.read(world.latest_key)
    world.process(1).restore()
    assert world.store.read(world.latest_key) == before


def test_a_hold_is_taken_up_by_the_restore_and_is_over(world: World) -> None:
    saved(world, 0, 1, 2, 3)
    world.edit(checkpoint=world.named()[1], note="diverged after step 2")
    assert world.process(1, background=Paused()).restore() == {"model": "step 2"}
    pointer = world.latest()
    assert not pointer.held
    assert not pointer.edited
    assert pointer.fence == 1
    assert world.steps() == [2, 3, 1]


def test_a_hold_is_taken_up_once_however_many_processes_restore(world: World) -> None:
    saved(world, 0, 1, 2, 3)
    world.edit(checkpoint=world.named()[1])
    ranks = [world.process(1, background=Paused()) for _ in range(3)]
    ranks[0].before("replace", "LATEST", ranks[1].restore)
    assert [rank.restore() for rank in (ranks[0], ranks[2])] == [{"model": "step 2"}] * 2
    writes = [request for rank in ranks for request in rank.store.log if request.op == "replace"]
    assert len(writes) == 2
    assert [len(rank.background.waiting) for rank in ranks] == [0, 1, 0], "one of them copies forward"  # type: ignore[attr-defined]


def test_two_runs_do_not_both_take_up_one_choice(world: World) -> None:
    """Attempt 1 has restored the choice and dies; attempt 2 follows what attempt 1 then confirmed."""
    saved(world, 0, 1, 2, 3)
    world.person().use(world.named()[2])
    saved_by_1 = world.process(1)
    saved_by_1.restore()
    saved_by_1.save({"model": "after the choice"}, step=2)
    assert world.process(2).restore() == {"model": "after the choice"}


def test_a_choice_of_none_is_taken_up_and_what_it_replaced_stays_in_the_history(world: World) -> None:
    saved(world, 0, 1, 2)
    world.write("none")
    run = world.process(1)
    assert run.restore() is None
    assert world.latest().target.is_fresh
    assert not world.latest().held
    assert world.steps() == [2, 1]
    assert world.process(2).restore() is None
    run.save({"model": "anew"}, step=1)
    assert world.steps() == [1, 2, 1]
    assert world.process(2).restore() == {"model": "anew"}


def test_what_is_proven_absent_leaves_the_history_and_what_is_damaged_stays(world: World) -> None:
    saved(world, 0, 1, 2, 3)
    newest, middle, _ = world.named()
    world.store.delete([world.key_of(newest)])
    world.store.upload(world.key_of(middle), [b"{"])
    world.process(1, background=Paused()).restore()
    assert world.steps() == [1, 2]


def test_a_bare_path_gets_its_history_back_with_what_stood_there_before(world: World) -> None:
    saved(world, 0, 1, 2, 3)
    world.write(world.named()[2])
    world.process(1, background=Paused()).restore()
    assert world.steps() == [1, 3, 2]


def test_an_edit_that_lists_what_is_gone_does_not_bring_it_back(world: World) -> None:
    """Somebody pastes the LATEST of yesterday, whose target is pinned and whose history is gone."""
    run = saved(world, 0, 1, 2, 3, retention=Retention(keep_last=2))
    yesterday = world.store.read(world.latest_key)[0]
    world.person().pin(world.named()[0])
    run.checkpoints._session.forget()
    for step in range(4, 10):
        run.save({"model": f"step {step}"}, step=step)
    world.write(yesterday.replace(b'"note": ""', b'"note": "as it was yesterday"'))
    assert world.process(1, background=Paused()).restore() == {"model": "step 3"}
    assert world.steps() == [3, 9, 8, 7]
    assert all(world.is_whole(name) for name in world.named())


def test_a_doomed_checkpoint_that_a_person_names_is_copied_before_latest_names_it(world: World) -> None:
    """A sweep may be deleting it right now: what LATEST comes to name is out of its reach."""
    run = saved(world, 0, 1, 2, 3, retention=Retention(keep_last=1), background=Paused())
    doomed = world.latest().expired
    world.edit(checkpoint=doomed[0])
    assert world.process(1, background=Paused()).restore() == {"model": "step 2"}
    assert world.manifest(world.named()[0]).copied_from == doomed[0]
    assert world.latest().expired == doomed
    run.background.catch_up()
    assert all(world.is_whole(name) for name in world.named())


def test_so_is_an_expired_one_that_is_the_newest_of_a_home_that_a_person_names(world: World) -> None:
    saved(world, 0, 1, 2)
    saved(world, 1, 3, 4, retention=Retention(keep_last=1), background=Paused())
    expired = world.latest().expired
    world.edit(checkpoint=world.node(0).root.ref(world.home_of(0)))
    assert world.process(2, background=Paused()).restore() == {"model": "step 2"}
    assert world.manifest(world.named()[0]).copied_from in expired
    assert not set(world.named()) & set(world.latest().expired)


def test_scores_survive_a_hand_edit_so_that_the_best_stays_the_best(world: World) -> None:
    retention = Retention(keep_last=1, keep_best=1, best_by="loss")
    run = world.process(0, retention=retention)
    best = run.save({"model": "1"}, step=1, loss=0.1)
    for step in (2, 3):
        run.save({"model": str(step)}, step=step, loss=0.5)
    world.edit(note="keep going")
    later = world.process(1, retention=retention)
    later.restore()
    for step in (4, 5, 6):
        later.save({"model": str(step)}, step=step, loss=0.5)
    assert world.is_whole(best.reference)
    assert 1 in world.steps()


def test_two_paths_that_an_edit_swaps_take_no_numbers_with_them(world: World) -> None:
    retention = Retention(keep_last=2, keep_every=10)
    saved(world, 0, 10, 20, 25, 30, retention=retention)
    target, *history = world.latest().retained
    swapped = [replace(history[0], checkpoint=target.checkpoint), *history[1:]]
    world.edit(checkpoint=history[0].checkpoint, history=[to_builtins(entry) for entry in swapped])
    world.process(1, retention=retention, background=Paused()).restore()
    assert world.steps() == [25, 30, 20, 10]
    assert all(world.manifest(entry.checkpoint).step == entry.step for entry in world.latest().retained)


def test_a_damaged_latest_is_put_aside_and_replaced(world: World) -> None:
    saved(world, 0, 1, 2)
    world.write("{ not json")
    assert world.process(1, background=Paused()).restore() == {"model": "step 2"}
    assert world.steps() == [2, 1]
    (kept,) = world.find("LATEST.damaged-")
    assert world.store.read(kept)[0] == b"{ not json"


def test_a_superseded_attempt_cannot_take_up_what_a_person_edited_in(world: World) -> None:
    """An edited LATEST says no fence; the homes of the next attempts do."""
    saved(world, 0, 1, 2)
    saved(world, 2, 3)
    world.edit(checkpoint=world.named()[2])
    with pytest.raises(SupersededError, match="attempt 2 has taken over, this is attempt 1"):
        world.process(1).restore()
    assert world.process(3).restore() == {"model": "step 1"}


@pytest.mark.parametrize("named", ["as its target", "in its history"])
def test_nor_can_one_that_is_far_behind_a_checkpoint_that_an_edit_names(world: World, named: str) -> None:
    saved(world, 0, 1)
    early = world.named()[0]
    before = world.process(1, background=Paused())
    saved(world, 9, 2, retention=Retention(keep_last=2))
    late = world.named()[0]
    if named == "as its target":
        world.write(late)
    else:
        world.edit(checkpoint=early, history=[{"checkpoint": late}])
    with pytest.raises(SupersededError, match="attempt 9 has taken over, this is attempt 1"):
        before.restore()
    assert world.process(10).restore() == {"model": f"step {2 if named == 'as its target' else 1}"}


def test_an_edit_that_names_a_later_attempt_that_has_nothing_fences_no_attempt(world: World) -> None:
    saved(world, 0, 1)
    gone = world.node(0).root.ref(f"{world.home_of(9)}/manifests/0000000009-a0009-00000009.json")
    world.edit(checkpoint=gone)
    assert world.process(1).restore() == {"model": "step 1"}


def test_an_attempt_that_was_superseded_cannot_adopt(world: World) -> None:
    saved(world, 0, 1, 2)
    saved(world, 2, 3)
    world.person().use(world.named()[1])
    before = world.store.read(world.latest_key)
    with pytest.raises(SupersededError, match="attempt 2 has taken over, this is attempt 1"):
        world.process(1).restore()
    assert world.store.read(world.latest_key) == before


@pytest.mark.parametrize("left", [None, b"{"])
def test_an_attempt_that_was_superseded_cannot_adopt_where_latest_is_lost(
    world: World, left: bytes | None
) -> None:
    """Else the next attempt would follow LATEST to what this one had found, behind what 2 confirmed."""
    saved(world, 0, 1)
    saved(world, 2, 2)
    world.delete_latest()
    if left is not None:
        world.write(left)
    with pytest.raises(SupersededError):
        world.process(1).restore()
    assert world.process(3).restore() == {"model": "step 2"}


def test_an_adopt_whose_reply_is_lost_has_happened(world: World) -> None:
    saved(world, 0, 1, 2)
    world.person().use(world.named()[1])
    run = world.process(1, Fault(when="after", op="replace", key="LATEST"), background=Paused())
    assert run.restore() == {"model": "step 1"}
    assert world.latest().fence == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_restore_whose_adopt_cannot_be_learnt_raises_and_the_next_attempt_finds_the_same(
    world: World, when: str
) -> None:
    saved(world, 0, 1, 2)
    world.person().use(world.named()[1])
    faults = (
        Fault(when=when, op="replace", key="LATEST", times=100),  # type: ignore[arg-type]
        Fault(op="read", key="LATEST", nth=2, times=100),
    )
    with pytest.raises((OutcomeUnknownError, StoreUnavailableError)):
        world.process(1, *faults).restore()
    assert world.process(2).restore() == {"model": "step 1"}
