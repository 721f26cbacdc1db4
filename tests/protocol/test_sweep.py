"""Sweep: what retention let go is deleted, and nothing else, and nothing too early."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ckptptr.errors import ConflictError, InvalidArgumentError, StoreUnavailableError
from ckptptr.protocol.latest import MOVES, Latest
from ckptptr.protocol.retention import Retention
from ckptptr.protocol.sweep import delete, deletions, search, sweep_by_hand
from ckptptr.session.session import SEARCH_EVERY
from ckptptr.testing import Fault
from ckptptr.testing.faults import Killed
from tests.helpers import Interleaved, Paused, Process, World

KEEP_ONE = Retention(keep_last=1)


def saving(process: Process, *steps: int) -> Process:
    for step in steps:
        process.save({"model": f"step {step}"}, step=step)
    return process


def test_in_a_long_run_storage_stays_bounded_without_a_listing_by_the_caller(world: World) -> None:
    run = world.process(0)
    for step in range(20):
        saving(run, step)
        assert len(world.committed()) <= 5
        assert len(world.find("model")) <= 5


def test_what_was_swept_leaves_the_list_of_the_doomed(world: World) -> None:
    run = saving(world.process(0), *range(20))
    assert len(world.latest().expired) <= 2
    assert run.background.failures == []


def test_the_search_for_orphans_does_not_grow_with_the_attempts_that_published(world: World) -> None:
    lists = []
    for attempt in range(30):
        run = world.process(attempt)
        run.restore()
        saving(run, attempt)
        lists.append(len([request for request in run.store.log if request.op == "list"]))
    assert lists[-1] == lists[14]


def test_the_search_for_orphans_goes_back_to_the_last_attempt_that_published(world: World) -> None:
    saving(world.process(0), 0)
    for attempt in range(1, 26):
        killed = world.process(attempt, Fault("kill", op="create", key="manifests"))
        with pytest.raises(Killed):
            saving(killed, attempt)
    assert len(world.find("model")) == 26
    saving(world.process(26, retention=KEEP_ONE), 26, 27, 28)
    assert [key for attempt in range(1, 26) for key in world.find(f"{world.home_of(attempt)}/data")] == []


def test_an_attempt_that_only_copied_forward_has_searched_nothing(world: World) -> None:
    saving(world.process(0), 0)
    for attempt in range(1, 26):
        if attempt % 12 == 0:
            world.edit(note="looked at")
        killed = world.process(
            attempt, Fault("kill", op="create", key="manifests", nth=1 + (attempt % 12 == 0))
        )
        killed.restore()
        with pytest.raises(Killed):
            saving(killed, attempt)
    world.edit(note="looked at")
    last = world.process(26, retention=KEEP_ONE)
    last.restore()
    assert world.manifest(world.named()[0]).copied_from
    saving(last, 26, 27, 28)
    assert [key for attempt in range(26) for key in world.find(f"{world.home_of(attempt)}/")] == []


@pytest.mark.parametrize("is_held", [False, True])
def test_of_saves_that_are_faster_than_the_sweeps_one_sweep_waits_and_takes_all(
    world: World, is_held: bool
) -> None:
    run = saving(world.process(0, background=Paused()), 0, 1)
    if is_held:
        world.edit(held=True)
        saving(run, 2)  # which meets the hold
    saving(run, *range(3, 30))
    assert len([job for job in run.background.waiting if job[0] == "sweep"]) == 1
    run.background.catch_up()
    assert run.background.failures == []
    assert len(world.committed()) <= 6
    sweeps = [request for request in run.store.log if request.op == "delete"]
    assert len(sweeps) == 2  # the manifests, and the payload
    saving(run, 30, 31)
    assert [job[0] for job in run.background.waiting] == ["sweep"]


def test_of_a_swept_checkpoint_nothing_is_left(world: World) -> None:
    run = world.process(0, retention=KEEP_ONE)
    for step in range(4):
        run.save({"model": str(step), "deep/er/opt": str(step)})
    assert len(world.find(r"/data/\d{10}-")) == 2 * len(world.committed())


def test_what_is_beside_the_files_of_a_swept_checkpoint_is_found_by_the_next_search(world: World) -> None:
    run = saving(world.process(0, retention=KEEP_ONE), 1)
    folder = world.objects_of(world.latest().target.checkpoint)[0].rpartition("/")[0]
    world.store.create(f"{folder}/.probe-1", b"?")
    saving(run, *range(2, 6))
    assert [key for key in world.find(folder) if key.endswith("model")] == []
    saving(run, *range(6, SEARCH_EVERY + 6))
    assert world.find(folder) == []


def test_the_manifest_goes_before_the_payload(world: World) -> None:
    run = saving(world.process(0, retention=KEEP_ONE), 1, 2, 3)
    deletes = [request.key for request in run.store.log if request.op == "delete" and request.key]
    assert "/manifests/" in deletes[0]
    assert "/data/" in deletes[1]


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_sweep_that_is_killed_leaves_nothing_named_broken_and_is_done_by_the_next(
    world: World, when: str, nth: int
) -> None:
    run = world.process(0, Fault("kill", when=when, op="delete", nth=nth), retention=KEEP_ONE)  # type: ignore[arg-type]
    for step in (0, 1):
        run.save({"model": str(step), "opt": str(step)}, step=step)
    with pytest.raises(Killed):
        run.save({"model": "2", "opt": "2"}, step=2)
    assert all(world.is_whole(name) for name in world.named())
    later = world.process(1, retention=KEEP_ONE)
    assert later.restore() == {"model": "2", "opt": "2"}
    saving(later, *range(3, 8))
    assert not world.find(f"{world.home_of(0)}/")


def test_what_a_killed_sweep_left_beside_what_a_pinned_checkpoint_borrows_is_deleted(world: World) -> None:
    run = world.process(0, Fault("kill", op="delete", nth=2), retention=KEEP_ONE)
    run.save({"model": "1", "opt": "same"}, step=1)
    pinned = run.save({"model": "2", "opt": "same"}, step=2)
    world.person().pin(pinned.reference)
    with pytest.raises(Killed):
        run.save({"model": "3"}, step=3)
    world.delete_latest()  # which listed it as expired
    later = world.process(1, retention=KEEP_ONE)
    later.restore()
    saving(later, *range(4, 8))
    assert world.content(pinned.reference) == {"model": "2", "opt": "same"}
    assert sorted(world.find(f"{world.home_of(0)}/data/")) == sorted(world.objects_of(pinned.reference))


def test_a_sweep_that_failed_is_tried_again(world: World) -> None:
    run = world.process(0, Fault(op="delete", times=5), retention=KEEP_ONE)
    saving(run, 1, 2, 3)
    assert len(run.background.failures) == 1
    saving(run, 4, 5)
    assert len(world.committed()) <= 3


def test_where_nothing_may_be_deleted_saves_go_on(world: World) -> None:
    run = world.process(0, Fault(op="delete", times=10_000), retention=KEEP_ONE)
    saving(run, *range(10))
    assert world.steps() == [9]
    assert len(run.background.failures) > 1


def test_a_pin_marker_protects_even_what_latest_has_forgotten(world: World) -> None:
    """A bare edit has dropped the flag; the marker is what counts."""
    run = world.process(0, retention=KEEP_ONE)
    pinned = run.save({"model": "1"}, step=1)
    saving(run, 2)
    key = world.key_of(pinned.reference).removesuffix(".json") + ".pin"
    world.store.create(key, b"{}")
    saving(run, *range(3, 8))
    assert world.is_whole(pinned.reference)
    assert pinned.reference not in world.latest().expired


def test_what_a_sweep_met_with_a_marker_stays_named_when_a_person_pins_it_again(world: World) -> None:
    run = world.process(0, retention=Retention(keep_last=2))
    first, _, _ = (run.save({"model": str(step)}, step=step).reference for step in (1, 2, 3))
    world.store.create(world.key_of(first).replace(".json", ".pin"), b"{}")  # a pin that was killed
    run.save({"model": "4"}, step=4)
    person = world.person()
    sweep_by_hand(world.store, person.node, person.latest, world.latest().expired)
    person.pin(first)
    for step in (5, 6):
        run.save({"model": str(step)}, step=step)
    assert first in world.named()
    assert world.is_whole(first)


def test_a_damaged_manifest_might_have_named_anything_so_that_its_home_is_left_alone(world: World) -> None:
    run = world.process(0, retention=KEEP_ONE, background=Paused())
    saving(run, 1, 2, 3)
    world.store.upload(world.key_of(world.named()[0]), [b"{"])
    before = world.find("")
    run.background.catch_up()
    assert world.find("") == before


def test_a_home_of_another_execution_is_never_touched(tmp_path: Path) -> None:
    old = World(tmp_path)
    saving(old.process(0), 1, 2)
    seeds = [*old.named()]
    world = World(tmp_path, "bucket/again", beside=old)
    world.write(f"memory://{old.key_of(seeds[0])}")
    before = old.find("bucket/run/")
    run = world.process(0, retention=KEEP_ONE)
    run.restore()
    saving(run, *range(3, 9))
    assert old.find("bucket/run/") == before
    assert not any(seeds[0] in name for name in world.latest().expired)


def test_plain_files_of_stock_flytekit_are_never_touched(world: World) -> None:
    world.store.upload(f"{world.home_of(0)}/model", [b"stock"])
    run = world.process(1, retention=KEEP_ONE)
    run.restore()
    saving(run, *range(8))
    assert world.find(world.home_of(0)) == [f"{world.home_of(0)}/model"]


def test_nothing_is_swept_while_a_person_holds_latest(world: World) -> None:
    run = world.process(0, retention=KEEP_ONE, background=Paused())
    saving(run, 1, 2, 3)
    world.edit(checkpoint="in whatever words")
    with run.requests() as requests:
        run.background.catch_up("sweep")
    assert requests == ["read LATEST"]


# Orphans


@pytest.mark.parametrize("key", ["manifests", "LATEST"])
def test_what_a_killed_attempt_left_is_found_by_the_next_one(world: World, key: str) -> None:
    with pytest.raises(Killed):
        saving(world.process(0, Fault("kill", op="create", key=key)), 1)
    later = world.process(1)
    later.restore()
    saving(later, *range(2, 7))
    assert not world.find(f"{world.home_of(0)}/")
    assert world.steps() == [6, 5, 4]


def test_what_a_killed_process_of_our_own_attempt_left_is_found_once_it_is_older_than_all_that_is_named(
    world: World,
) -> None:
    saving(world.process(0), 1)
    with pytest.raises(Killed):
        saving(world.process(0, Fault("kill", op="replace", key="LATEST")), 2)
    again = world.process(0)
    again.restore()
    saving(again, *range(3, 3 + SEARCH_EVERY + 3))
    assert len(world.committed()) <= 5


def test_what_a_sibling_is_about_to_publish_is_no_orphan_while_anything_older_is_named(world: World) -> None:
    keep_five = Retention(keep_last=5)
    saving(world.process(0, retention=keep_five), 1)
    quick, slow = world.process(0, retention=keep_five), world.process(0, retention=keep_five)
    slow.restore()

    def go_on() -> None:
        (waiting,) = [name for name in world.committed() if world.manifest(name).step == 2]
        saving(quick, 3, 4, 5, 6)
        assert world.is_whole(waiting)
        assert waiting not in world.latest().expired

    slow.after("create", "manifests", go_on)
    saving(slow, 2)


def test_an_orphan_that_a_person_pinned_is_left(world: World) -> None:
    first = world.process(0, Fault(op="replace", key="LATEST", times=100))
    saving(first, 1)
    with pytest.raises(StoreUnavailableError):
        saving(first, 2)
    unpublished = world.committed()[1]
    world.person().pin(unpublished)
    run = world.process(1, retention=KEEP_ONE)
    run.restore()
    saving(run, *range(3, 9))
    assert world.is_whole(unpublished)


def test_a_zombie_that_sweeps_what_it_let_go_deletes_nothing_that_is_named(world: World) -> None:
    """Its sweep was due before the newer attempt came, and runs after a person brought the old one back."""
    zombie = world.process(0, retention=KEEP_ONE, background=Paused())
    saving(zombie, 1, 2)
    chosen = world.named()[0]
    saving(zombie, 3, 4)
    assert chosen in world.latest().expired
    world.edit(checkpoint=chosen)
    assert world.process(1, background=Paused()).restore() == {"model": "step 2"}
    zombie.background.catch_up()
    assert all(world.is_whole(name) for name in world.named())


def person(world: World, store: Any = None) -> tuple[Any, Any, Latest]:
    """The store, the node and the LATEST of somebody with the command line."""
    node = replace(world.node(0), attempt=9, home=world.home_of(9))
    store = store or world.store
    return store, node, Latest(store, world.key, world.clock, "a person")


def by_hand(world: World, store: Any = None) -> tuple[str, ...]:
    """Sweep all that can be swept."""
    store, node, latest = person(world, store)
    seen = latest.read()
    doomed = seen.pointer.expired if seen.pointer else ()
    return sweep_by_hand(store, node, latest, {*doomed, *search(store, node, seen).orphans})


def orphaned(world: World) -> tuple[str, Process]:
    """A checkpoint of attempt 0 that was committed and never published, and attempt 1, which has gone on."""
    killed = world.process(0, Fault("kill", op="replace", key="LATEST"))
    killed.save({"model": "one"})
    with pytest.raises(Killed):
        killed.save({"model": "never published"})
    (reference,) = set(world.committed()) - set(world.named())
    run = world.process(1, background=Paused())
    run.save({"model": "two"})
    return reference, run


def test_a_person_sweeps_what_is_doomed_and_what_earlier_attempts_left(world: World) -> None:
    killed = world.process(0, Fault("kill", op="create", key="manifests"), background=Paused())
    with pytest.raises(Killed):
        killed.save({"model": "torn"})
    run = world.process(1, background=Paused())
    for step in range(5):
        run.save({"model": f"step {step}"}, step=step)
    assert len(world.strays()) > 0
    gone = by_hand(world)
    assert len(gone) == 3
    assert world.strays() == []
    assert world.latest().expired == ()
    assert (world.steps(), world.latest().fence) == ([4, 3, 2], 1)
    run.save({"model": "step 5"}, step=5)  # finds a LATEST that others have moved, and goes on
    assert world.steps() == [5, 4, 3]


def test_a_person_does_not_sweep_what_the_last_attempt_may_be_uploading(world: World) -> None:
    world.process(0).save({"model": "one"})
    torn = f"{world.home_of(0)}/data/0000000009-a0000-abcdefgh/model"
    world.store.upload(torn, [b"x"])
    assert by_hand(world) == ()
    assert world.find("abcdefgh") == [torn]


def test_a_person_sweeps_only_what_was_agreed_to(world: World) -> None:
    run = world.process(0, background=Paused())
    for step in range(5):
        run.save({"model": f"step {step}"}, step=step)
    one, other = world.latest().expired
    store, node, latest = person(world)
    assert sweep_by_hand(store, node, latest, {one}) == (one,)
    assert world.latest().expired == (other,)
    assert world.is_whole(other)


def test_an_orphan_that_was_not_agreed_to_is_not_even_doomed(world: World) -> None:
    reference, _ = orphaned(world)
    before = world.seen()
    assert sweep_by_hand(*person(world), agreed={"another"}) == ()
    assert world.seen() == before
    assert world.is_whole(reference)


def test_a_superseded_save_that_was_swept_is_sent_again_where_an_edit_hides_its_fence(world: World) -> None:
    late = world.process(0)
    late.save({"model": "one", "frozen": "same"}, step=1)

    def go_on_sweep_and_edit() -> None:
        world.process(1).save({"model": "two"}, step=2)
        assert len(by_hand(world)) == 1
        world.edit(checkpoint=world.latest().target.checkpoint, note="looked at")

    late.before("create", "manifests", go_on_sweep_and_edit)
    saved = late.save({"model": "three", "frozen": "same"}, step=3).reference
    assert world.content(saved) == {"model": "three", "frozen": "same"}
    assert world.latest().edited  # it stays as the person wrote it


def test_what_is_chosen_just_before_the_swap_is_not_swept(world: World) -> None:
    """An orphan that a person holds LATEST on, between our look and our swap."""
    reference, _ = orphaned(world)
    store = Interleaved(world.store)
    store.add("before", "replace", "LATEST", 1, lambda: world.person().use(reference))
    with pytest.raises(InvalidArgumentError, match="LATEST is held"):
        by_hand(world, store)
    assert world.is_whole(reference)


@pytest.mark.parametrize("state", ["held", "damaged", "absent"])
def test_nobody_sweeps_by_a_latest_that_cannot_tell_what_may_go(world: World, state: str) -> None:
    run = world.process(0, background=Paused())
    for step in range(5):
        run.save({"model": f"step {step}"}, step=step)
    before = world.committed()
    if state == "held":
        world.person().use(world.named()[1])
    elif state == "damaged":
        world.write("{")
    else:
        world.delete_latest()
    with pytest.raises(InvalidArgumentError, match=f"LATEST is {state}"):
        by_hand(world)
    assert world.committed() == before


def test_others_that_keep_moving_latest_end_a_sweep_by_hand(world: World) -> None:
    _, run = orphaned(world)
    store = Interleaved(world.store)
    for nth in range(1, MOVES + 1):
        store.add("before", "replace", "LATEST", nth, lambda: run.save({"model": "more"}))
    with pytest.raises(ConflictError, match="moved by others"):
        by_hand(world, store)


def test_an_object_that_several_expired_checkpoints_share_counts_once(world: World) -> None:
    run = world.process(0, background=Paused())
    for shared in ("old", "old", "new", "new", "new"):
        run.save({"model": shared})
    store, node, latest = person(world)
    (leaving,) = deletions(store, node, latest.read().expired)
    assert (len(leaving.leaving), len(leaving.objects), leaving.bytes) == (2, 1, 3)


def test_what_is_gone_already_is_told_apart(world: World) -> None:
    run = world.process(0, background=Paused())
    for step in range(5):
        run.save({"model": f"step {step}"}, step=step)
    store, node, latest = person(world)
    first, second = sorted(latest.read().expired)
    delete(store, node, [first])
    (leaving,) = deletions(store, node, [first, second])
    assert (leaving.leaving, sorted(leaving.references)) == ((second,), [first, second])


def test_what_goes_is_known_before_it_goes(world: World) -> None:
    run = world.process(0, background=Paused())
    run.save({"model": "shared", "other": "1"})
    for step in range(4):
        run.save_file("other", f"{step}")
    store, node, latest = person(world)
    pointer = latest.read().pointer
    assert pointer is not None
    (leaving,) = deletions(store, node, pointer.expired)
    there = set(world.find())
    delete(store, node, pointer.expired)
    assert there - set(world.find()) == {*leaving.manifests, *(entry.key for entry in leaving.objects)}
    assert leaving.bytes == sum(entry.size for entry in leaving.objects) == 2
