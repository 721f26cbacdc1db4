"""What a person does to LATEST: use, pin, unpin. An edit is equal to use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckptptr.errors import (
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
    SupersededError,
)
from ckptptr.protocol.latest import MOVES
from ckptptr.protocol.retention import Retention
from ckptptr.testing import Fault, FaultyStore
from tests.helpers import Interleaved, Paused, Process, World, id_of


def saved(world: World, *steps: int, **settings: object) -> Process:
    process = world.process(0, **settings)
    for step in steps:
        process.save({"model": f"step {step}"}, step=step)
    return process


def pins(world: World) -> list[str]:
    return world.find(r"\.pin$")


def test_use_holds_latest_and_keeps_what_it_replaces(world: World) -> None:
    saved(world, 1, 2, 3)
    before, after = world.person().use(world.named()[1], note="diverged")
    assert before.pointer is not None
    assert before.pointer.target.step == 3
    assert after.is_held
    assert world.steps() == [2, 3, 1]
    assert (world.latest().held, world.latest().note, world.latest().fence) == (True, "diverged", 0)
    assert world.process(1).restore() == {"model": "step 2"}


@pytest.mark.parametrize("wording", ["none", " None\n"])
def test_use_of_none_is_a_fresh_start_and_keeps_all_in_the_history(world: World, wording: str) -> None:
    saved(world, 1, 2)
    world.person().use(wording)
    assert world.steps() == [2, 1]
    assert world.process(1).restore() is None


def test_a_changed_mind_is_a_second_use(world: World) -> None:
    saved(world, 1, 2, 3)
    two, one = world.named()[1:]
    world.person().use(two)
    world.person().use(one)
    assert world.steps() == [1, 2, 3]
    assert world.process(1).restore() == {"model": "step 1"}


def test_a_note_that_json_cannot_say_is_refused_before_anything_is_written(world: World) -> None:
    saved(world, 1, 2)
    before, named, person = world.store.read(world.latest_key), world.named()[1], world.person()
    for move in (person.use, person.pin, lambda _, note: person.rollback(note=note)):
        with pytest.raises(InvalidArgumentError, match=r"the note is not valid UTF-8: 'caf\\udce9'"):
            move(named, note="caf\udce9")
    assert world.store.read(world.latest_key) == before
    assert pins(world) == []


def test_what_lacks_a_payload_object_cannot_be_pinned(world: World) -> None:
    saved(world, 1, 2)
    broken = world.named()[1]
    world.store.delete(world.objects_of(broken))
    before = world.seen()
    with pytest.raises(DamagedError, match="it is gone"):
        world.person().pin(broken)
    assert world.seen() == before
    assert pins(world) == []


def test_use_repairs_what_a_bare_edit_has_dropped(world: World) -> None:
    saved(world, 1, 2, 3)
    three, two, one = world.named()
    world.write(two)
    world.person().use(one)
    assert world.named() == [one, three, two]


def test_what_is_absent_or_damaged_cannot_be_used(world: World) -> None:
    saved(world, 1, 2)
    damaged, before = world.named()[1], world.store.read(world.latest_key)
    world.store.upload(world.key_of(damaged), [b"{"])
    for wording, error in (
        ("0000000009-a0000-nosuchid", NotFoundError),
        ("no/such/folder", NotFoundError),
        (damaged, DamagedError),
        ("s3://elsewhere/x", InvalidArgumentError),
        ("", InvalidArgumentError),
    ):
        with pytest.raises(error):
            world.person().use(wording)
    assert world.store.read(world.latest_key) == before


def test_a_checkpoint_with_a_file_missing_cannot_be_used(world: World) -> None:
    saved(world, 1, 2)
    one = world.named()[1]
    world.store.delete([key for key in world.find("model") if id_of(one) in key])
    with pytest.raises(DamagedError, match="1 file is missing or of another size, 'model': it is gone"):
        world.person().use(one)
    assert world.steps() == [2, 1]


def test_a_publish_in_between_is_kept(world: World) -> None:
    run = saved(world, 1, 2)
    store = Interleaved(world.store)
    store.add("before", "replace", "LATEST", 1, lambda: run.save({"model": "step 3"}, step=3))
    person = world.person(store)
    person.use(world.named()[1])
    assert world.steps() == [1, 3, 2]


def test_what_retention_lets_go_at_that_moment_is_refused(world: World) -> None:
    run = saved(world, 1, retention=Retention(keep_last=1), background=Paused())
    store = Interleaved(world.store)
    store.add("before", "replace", "LATEST", 1, lambda: run.save({"model": "step 2"}, step=2))
    person = world.person(store)
    with pytest.raises(InvalidArgumentError, match="may be deleted at any moment"):
        person.use(world.named()[0])
    assert world.steps() == [2]


def test_a_pin_that_comes_too_late_leaves_no_marker(world: World) -> None:
    run = saved(world, 1, retention=Retention(keep_last=1), background=Paused())
    store = Interleaved(world.store)
    store.add("before", "replace", "LATEST", 1, lambda: run.save({"model": "step 2"}, step=2))
    person = world.person(store)
    with pytest.raises(InvalidArgumentError, match="may be deleted at any moment"):
        person.pin(world.named()[0])
    assert pins(world) == []


def test_a_person_gives_up_after_a_bounded_number_of_conflicts(world: World) -> None:
    run = saved(world, 1)
    store = Interleaved(world.store)
    for turn in range(1, MOVES + 1):
        store.add("before", "replace", "LATEST", turn, lambda turn=turn: run.save({"model": f"{turn}"}))
    person = world.person(store)
    with pytest.raises(ConflictError):
        person.use("none")
    assert not world.latest().held


# Pins


def test_a_pin_is_a_marker_and_a_flag_and_retention_keeps_it(world: World) -> None:
    run = saved(world, 1, 2, retention=Retention(keep_last=1))
    world.person().pin(id_of(world.named()[0]), note="the good one")
    for step in range(3, 9):
        run.save({"model": str(step)}, step=step)
    assert world.steps() == [8, 2]
    assert len(pins(world)) == 1
    assert world.content(world.named()[1]) == {"model": "step 2"}


def test_a_pin_neither_moves_the_target_nor_holds_it(world: World) -> None:
    saved(world, 1, 2)
    order = world.named()
    world.person().pin(order[1])
    assert world.named() == order
    assert not world.latest().held
    assert world.process(1).restore() == {"model": "step 2"}


def test_a_pin_leaves_a_hold_as_it_is(world: World) -> None:
    saved(world, 1, 2)
    two, one = world.named()
    world.edit(checkpoint=one)
    world.person().pin(two)
    assert world.latest().held
    assert world.process(1).restore() == {"model": "step 1"}


def test_a_pin_leaves_a_persons_own_words_alone_and_the_adopt_that_takes_them_up_reads_the_marker(
    world: World,
) -> None:
    run = saved(world, 1, 2, 3, retention=Retention(keep_last=1), background=Paused())
    kept, doomed = world.named()[0], world.latest().expired[0]
    world.edit(checkpoint=doomed)
    before = world.seen()
    world.person().pin(kept)
    assert world.seen() == before
    assert len(pins(world)) == 1
    run.background.catch_up()
    assert world.process(1).restore() == {"model": "step 2"}
    assert [entry.pinned for entry in world.latest().history if entry.checkpoint == kept] == [True]
    world.person().unpin(kept)
    assert pins(world) == []


@pytest.mark.parametrize("is_pinned", [False, True], ids=["pin", "unpin"])
@pytest.mark.parametrize(
    "move",
    [
        lambda world, store: world.process(1, store=store).restore(),
        lambda world, store: world.person(store).use("none"),
    ],
    ids=["restore", "use"],
)
def test_an_edited_latest_is_moved_and_repeats_the_marker_that_changed_meanwhile(
    tmp_path: Path, move: Callable[[World, Any], object], is_pinned: bool
) -> None:
    def is_meanwhile(moment: int) -> bool:
        (scratch := tmp_path / str(moment)).mkdir()
        world = World(scratch)
        saved(world, 1, 2)
        one, other = world.named()[1], world.person()
        if is_pinned:
            other.pin(one)
        world.edit(note="looked at")
        store, done = Interleaved(world.store), []
        store.add(
            "before", "", "", moment, lambda: done.append((other.unpin if is_pinned else other.pin)(one))
        )
        move(world, store)
        flags = [target.pinned for target in world.latest().retained if target.checkpoint == one]
        assert flags == [bool(pins(world))], f"it changed before request {moment}"
        return bool(done)

    moment = 1
    while is_meanwhile(moment):
        moment += 1
    assert moment > 5


def test_an_unpin_finds_what_another_person_has_named_with_the_old_marker_meanwhile(world: World) -> None:
    """Named, with its flag, just before the marker goes."""
    run = saved(world, 1)
    run.fail(Fault(op="replace", key="LATEST", times=100))
    with pytest.raises(StoreUnavailableError):
        run.save({"model": "step 2"}, step=2)
    two = world.committed()[1]
    world.store.create(world.key_of(two).removesuffix("json") + "pin", b"{}")
    store = Interleaved(world.store)
    store.add("before", "delete", "pin$", 1, lambda: world.person().use(two))
    world.person(store).unpin(two)
    assert (world.latest().target.checkpoint, world.latest().target.pinned, pins(world)) == (two, False, [])


def test_pinning_twice_is_pinning_once(world: World) -> None:
    saved(world, 1)
    for _ in range(2):
        world.person().pin(world.named()[0])
    assert len(pins(world)) == 1


@pytest.mark.parametrize("left", [None, b"{"])
def test_a_pin_where_latest_is_lost_is_no_fresh_start_and_no_way_back_for_a_zombie(
    world: World, left: bytes | None
) -> None:
    zombie = saved(world, 1, 2)
    newer = world.process(1)
    newer.save({"model": "step 3"}, step=3)
    oldest = world.named()[2]
    world.delete_latest()
    if left is not None:
        world.write(left)
    world.person().pin(oldest)
    assert world.steps() == [3, 2, 1]
    assert world.latest().fence == 1
    assert zombie.checkpoints.attempt == 0
    assert world.process(2).restore() == {"model": "step 3"}


def unpublished(world: World, attempt: int) -> str:
    """What that attempt commits, without any move of LATEST; its reference."""
    run = world.process(attempt, incarnation="its own")
    run.restore()
    run.fail(Fault(op="replace", key="LATEST", times=100))
    with pytest.raises(StoreUnavailableError):
        run.save({"model": f"of attempt {attempt}"}, step=9)
    return next(name for name in world.committed() if f"-a{attempt:04d}-" in name)


@pytest.mark.parametrize("act", ["use", "release", "pin", "unpin"])
def test_what_a_person_names_fences_the_attempts_before_the_one_that_committed_it(
    world: World, act: str
) -> None:
    """Else one of them drops it from LATEST, and does not list it as expired."""
    saved(world, 1)
    before = world.process(2, incarnation="old", retention=Retention(keep_last=1))
    before.restore()
    theirs, person = unpublished(world, 4), world.person()
    if act == "unpin":
        person.pin(theirs)
    getattr(person, act)(theirs)
    if act == "use":
        person.release()
    assert (world.latest().fence, world.latest().incarnation) == (4, "")
    with pytest.raises(SupersededError, match="attempt 4 has taken over, this is attempt 2"):
        before.save({"model": "2"}, step=2)
    assert theirs in world.named()
    last = world.process(4, incarnation="a restart in place", retention=Retention(keep_last=1))
    last.restore()
    last.save({"model": "3"}, step=3)
    assert (world.latest().fence, world.latest().incarnation) == (4, "a restart in place")
    assert theirs in {*world.named()[1:], *world.latest().expired}


def test_what_a_person_names_of_an_earlier_attempt_leaves_fence_and_incarnation(world: World) -> None:
    saved(world, 1)
    early = unpublished(world, 1)
    run = world.process(2, incarnation="two")
    run.restore()
    run.save({"model": "2"}, step=2)
    world.person().pin(early)
    world.person().use(early)
    world.person().use("none")
    assert (world.latest().fence, world.latest().incarnation) == (2, "two")


def test_a_pin_in_an_unpublished_checkpoint_names_it(world: World) -> None:
    run = saved(world, 1)
    run.fail(Fault(op="replace", key="LATEST", times=100))
    with pytest.raises(StoreUnavailableError):
        run.save({"model": "step 2"}, step=2)
    world.person().pin(world.committed()[1])
    assert world.steps() == [1, 2]
    assert world.latest().retained[1].pinned


def test_an_unpinned_checkpoint_goes_as_any_other(world: World) -> None:
    run = saved(world, 1, 2, retention=Retention(keep_last=1))
    world.person().pin(world.named()[0])
    run.save({"model": "step 3"}, step=3)
    world.person().unpin(world.named()[1])
    assert pins(world) == []
    for step in range(4, 8):
        run.save({"model": str(step)}, step=step)
    assert world.steps() == [7]
    assert len(world.committed()) <= 3


def test_an_unpin_that_is_half_done_is_still_pinned(world: World) -> None:
    saved(world, 1, 2)
    two, one = world.named()
    world.person().pin(one)
    store = FaultyStore(world.store, [Fault(op="delete")])
    person = world.person(store)
    with pytest.raises(StoreUnavailableError):
        person.unpin(one)
    assert len(pins(world)) == 1
    world.write(two)
    world.process(1, background=Paused()).restore()
    assert [target.pinned for target in world.latest().retained if target.checkpoint == one] == [True]


def test_what_expired_while_only_its_marker_kept_it_can_be_unpinned(world: World) -> None:
    """A pin that was killed after its first write, or whose LATEST another writer has overwritten."""
    run = saved(world, 1, retention=Retention(keep_last=1), background=Paused())
    one = world.named()[0]
    world.store.create(world.key_of(one).removesuffix("json") + "pin", b"{}")
    run.save({"model": "step 2"}, step=2)
    assert world.latest().expired == (one,)
    before = world.seen()
    world.person().unpin(one)
    assert (world.seen(), pins(world)) == (before, [])
    run.save({"model": "step 3"}, step=3)
    run.background.catch_up()
    assert one not in world.committed()


def test_an_unpin_where_latest_is_lost_and_nothing_is_whole_makes_no_latest(world: World) -> None:
    saved(world, 1)
    one = world.named()[0]
    world.person().pin(one)
    world.delete_latest()
    world.store.upload(world.key_of(one), [b"{"])
    world.person().unpin(one)
    assert (world.seen().token, pins(world)) == (None, [])


def test_a_plain_folder_cannot_be_pinned_but_used(world: World) -> None:
    saved(world, 1)
    world.store.upload("bucket/data/seeds/weights", [b"w"])
    with pytest.raises(InvalidArgumentError, match="Retention never deletes it"):
        world.person().pin("memory://bucket/data/seeds")
    world.person().use("memory://bucket/data/seeds")
    assert world.process(1).restore() == {"weights": "w"}


def test_a_run_pins_what_it_has_just_saved_and_goes_on(world: World) -> None:
    run = saved(world, 1, retention=Retention(keep_last=1))
    run.checkpoints.pin(world.named()[0], note="milestone")
    run.save({"model": "step 2"}, step=2)
    run.save({"model": "step 3"}, step=3)
    assert world.steps() == [3, 1]
    run.checkpoints.unpin(world.named()[1])
    run.save({"model": "step 4"}, step=4)
    assert world.steps() == [4]


def test_history_lists_what_can_be_chosen(world: World) -> None:
    run = saved(world, 1, 2)
    world.person().use("none")
    assert [checkpoint.step for checkpoint in run.checkpoints.history()] == [2, 1]
    assert world.process(0).checkpoints.history()[0].url.startswith("memory://")


def test_who_opened_read_only_can_change_nothing(world: World) -> None:
    saved(world, 1)
    reader = Process(world, world.node(1), read_only=True)
    for act in (
        lambda: reader.save({"model": "x"}),
        lambda: reader.checkpoints.pin(world.named()[0]),
        lambda: reader.checkpoints.unpin(world.named()[0]),
    ):
        with pytest.raises(InvalidArgumentError, match="read-only"):
            act()
    assert reader.store.log == []


def test_release_takes_the_hold_off_and_the_run_goes_on_from_there(world: World) -> None:
    run = saved(world, 1, 2, 3)
    world.person().use(world.named()[1], note="3 diverged")
    run.save({"model": "step 4"}, step=4)
    assert world.steps()[0] == 2
    _, seen = world.person().release()
    after = seen.pointer
    assert after is not None
    assert (after.held, after.note, after.target.step) == (False, "", 2)
    run.save({"model": "step 5"}, step=5)
    assert world.steps()[:2] == [5, 2]


def test_a_hand_edit_is_released_into_what_a_machine_writes(world: World) -> None:
    saved(world, 1, 2)
    two, one = world.named()
    world.write(id_of(one))
    world.person().release()
    assert world.named() == [one, two]
    assert (world.latest().held, world.latest().edited, world.latest().fence) == (False, False, 0)


@pytest.mark.parametrize("chosen", [[1], [2], [3], [2, 1], [1, 2, 0]], ids=str)
def test_release_to_what_stood_there_undoes_any_number_of_uses(world: World, chosen: list[int]) -> None:
    saved(world, 0, 1, 2, 3, retention=Retention(keep_last=4))
    names = dict(zip(world.steps(), world.named(), strict=True))
    for step in chosen:
        world.person().use(names[step])
    world.person().release(names[3])
    assert world.steps() == [3, 2, 1, 0]
    assert not world.latest().held


def test_where_nothing_is_held_release_writes_nothing(world: World) -> None:
    saved(world, 1)
    store = FaultyStore(world.store)
    world.person(store).release()
    assert {request.op for request in store.log} == {"read"}


def test_there_is_nothing_to_release_where_latest_is_gone_or_damaged_or_names_nothing(world: World) -> None:
    saved(world, 1)
    world.write("no/such/thing")
    with pytest.raises(NotFoundError):
        world.person().release()
    world.write("{")
    with pytest.raises(DamagedError, match="Choose with `use`"):
        world.person().release()
    world.delete_latest()
    with pytest.raises(NotFoundError, match="Choose with `use`"):
        world.person().release()


def test_rollback_goes_back_through_the_history_and_holds(world: World) -> None:
    saved(world, 1, 2, 3)
    world.person().rollback()
    assert (world.steps(), world.latest().held) == ([2, 3, 1], True)
    world.person().rollback(note="2 as well")
    assert (world.steps()[0], world.latest().note) == (1, "2 as well")
    with pytest.raises(NotFoundError, match="0 earlier checkpoints, not 1"):
        world.person().rollback()


def test_rollback_by_several_is_the_same_as_several_rollbacks(world: World) -> None:
    saved(world, 1, 2, 3)
    world.person().rollback(2)
    assert world.steps()[0] == 1
    for back in (0, -1):
        with pytest.raises(NotFoundError):
            world.person().rollback(back)


def test_rollback_never_goes_to_a_branch_that_was_left(world: World) -> None:
    saved(world, 1, 2, 3, 4, retention=Retention(keep_last=9))
    world.person().use(world.named()[2])  # step 2: 3 and 4 were no good
    run = world.process(1, background=Paused(), retention=Retention(keep_last=9))
    run.restore()
    run.save({"model": "step 5"}, step=5)
    assert world.steps() == [5, 2, 4, 3, 1]
    world.person().rollback()
    assert world.steps()[0] == 2
    world.person().rollback()
    assert world.steps()[0] == 1


def test_rollback_from_a_fresh_start_is_the_newest(world: World) -> None:
    saved(world, 1, 2)
    world.person().use("none")
    world.person().rollback()
    assert world.steps() == [2, 1]


def test_rollback_past_a_latest_that_is_gone_starts_from_what_a_restore_would_take(world: World) -> None:
    saved(world, 1, 2, 3)
    world.delete_latest()
    world.person().rollback()
    assert world.steps()[0] == 2


def test_rollback_over_an_edit_starts_from_what_the_person_named(world: World) -> None:
    saved(world, 1, 2, 3)
    world.write(id_of(world.named()[1]))
    world.person().rollback()
    assert world.steps()[0] == 1


def test_rollback_refuses_what_is_not_whole(world: World) -> None:
    saved(world, 1, 2)
    before = world.seen()
    world.store.delete(world.find(rf"data/{id_of(world.named()[1])}"))
    with pytest.raises(DamagedError):
        world.person().rollback()
    assert world.seen() == before


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_superseded_attempt_pins_nothing(world: World, is_lost: bool) -> None:
    late = world.process(0)
    ours = late.save({"model": "one"}, step=1).reference
    world.process(1).save({"model": "two"}, step=2)
    if is_lost:
        world.delete_latest()
    before = world.find()
    for act in (late.checkpoints.pin, late.checkpoints.unpin):
        with pytest.raises(SupersededError):
            act(ours)
    assert world.find() == before
