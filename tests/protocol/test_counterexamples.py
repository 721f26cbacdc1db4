"""Short histories that broke an earlier wording of the protocol. Each test is one of them, by its number.

A1 is the older attempt, A2 the newer; zombies are attempts that the platform has given up and that go on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ckptptr.errors import DamagedError, InvalidArgumentError, SupersededError
from ckptptr.protocol.candidates import Verdict
from ckptptr.protocol.node import Origin
from ckptptr.protocol.retention import Retention
from ckptptr.stores.port import Guarantee
from ckptptr.testing import Fault
from ckptptr.testing.faults import Killed
from tests.helpers import Paused, Process, World, id_of

KEEP_ONE = Retention(keep_last=1)


def saved(world: World, attempt: int, *steps: int, retention: Retention | None = None) -> Process:
    """An attempt that has saved those steps, each a folder with the one file `model`."""
    process = world.process(attempt, retention=retention)
    for step in steps:
        process.save({"model": f"step {step}"}, step=step)
    return process


# 1


def test_a_zombie_that_publishes_and_sweeps_while_homes_are_listed_does_not_cause_a_fresh_start(
    tmp_path: Path,
) -> None:
    """No LATEST. A2 lists home 1: empty. A1 publishes and sweeps home 0. A2 lists home 0: empty."""

    def history(moment: int) -> int:
        scratch = tmp_path / str(moment)
        scratch.mkdir()
        world = World(scratch)
        saved(world, 0, 1)
        world.delete_latest()
        zombie = world.process(1, retention=KEEP_ONE)

        def wake_up() -> None:
            for step in (2, 3, 4):
                zombie.save({"model": f"step {step}"}, step=step)
            assert not world.find("attempts/0/manifests")

        newer = world.process(2)
        newer.before("", "", wake_up, nth=moment)
        restored = newer.restore()
        assert restored is not None, f"started from nothing when the zombie woke up at request {moment}"
        assert world.content(world.latest().target.checkpoint) == restored
        return len(newer.store.log)

    never = 1000
    for moment in range(1, history(never) + 1):
        history(moment)


def test_a_checkpoint_published_after_the_last_home_was_listed_is_found(tmp_path: Path) -> None:
    world = World(tmp_path)
    newer = world.process(1)
    zombie = world.process(0)
    newer.after("list", "attempts/0$", lambda: zombie.save({"model": "late"}))
    assert newer.restore() == {"model": "late"}


# 2


def test_what_a_kill_left_of_the_first_save_is_not_taken_for_plain_files(world: World) -> None:
    with pytest.raises(Killed):
        world.process(0, Fault("kill", op="create", key="manifests")).save({"model": "half", "opt": "half"})
    assert world.find(r"/data/\d{10}-")
    named = Process(world, world.node(1, previous=world.home_of(0)))
    assert named.restore() is None
    assert named.resolution.verdict is Verdict.FRESH


# 3


def test_a_late_adopt_does_not_take_latest_back_behind_a_zombies_publish(world: World) -> None:
    """A2 finds X2 of A0 by walk-back; A1 publishes; A2 moves LATEST."""
    saved(world, 0, 2)
    world.delete_latest()
    zombie = world.process(1)
    newer = world.process(2)
    newer.before("create", "LATEST", lambda: zombie.save({"model": "step 3"}, step=3))
    assert newer.restore() == {"model": "step 3"}
    assert world.steps() == [3, 2]


# 4


def test_a_forward_copy_that_has_not_begun_is_cancelled_by_the_runs_own_publish(world: World) -> None:
    saved(world, 0, 2)
    world.delete_latest()
    run = world.process(1, background=Paused())
    run.restore()
    run.save({"model": "step 3"}, step=3)
    with run.requests() as requests:
        run.background.catch_up("forward-copy")
    assert requests == []
    assert world.steps() == [3, 2]


def test_a_slow_forward_copy_does_not_take_latest_back_behind_the_runs_own_publish(world: World) -> None:
    saved(world, 0, 2)
    world.delete_latest()
    run = world.process(1, background=Paused())
    run.restore()
    run.before("create", "manifests", lambda: run.save({"model": "step 3"}, step=3))
    run.background.catch_up("forward-copy")
    assert world.steps() == [3, 2]


@pytest.mark.parametrize("op", ["read", "replace"])
def test_a_forward_copy_moves_latest_only_while_it_still_names_the_source(world: World, op: str) -> None:
    saved(world, 0, 2)
    world.delete_latest()
    run = world.process(1, background=Paused())
    run.restore()
    worker = world.process(1)
    run.before(op, "LATEST", lambda: worker.save({"model": "step 3"}, step=3))
    run.background.catch_up("forward-copy")
    assert world.steps() == [3, 2]


# 5


def test_a_sweep_that_sees_a_manifest_before_its_publish_leaves_it(world: World) -> None:
    run = world.process(0, retention=KEEP_ONE, background=Paused())
    for step in range(1, 5):
        run.save({"model": f"step {step}"}, step=step)
    run.after("create", "manifests", run.background.catch_up)
    run.save({"model": "step 5"}, step=5)
    assert world.content(world.latest().target.checkpoint) == {"model": "step 5"}
    assert world.process(1).restore() == {"model": "step 5"}


def test_a_sibling_that_sweeps_between_commit_and_publish_leaves_what_was_committed(world: World) -> None:
    sibling = world.process(0, retention=KEEP_ONE)
    slow = world.process(0, retention=KEEP_ONE)
    slow.save_file("slow", "1", step=1)

    def go_on() -> None:
        for step in range(2, 6):
            sibling.save_file("quick", str(step), step=step)

    slow.after("create", "manifests", go_on)
    slow.save_file("slow", "2", step=2)
    assert world.process(1).restore() == {"quick": "5", "slow": "2"}


# 6


def test_what_is_doomed_can_neither_be_used_nor_pinned(world: World) -> None:
    run = world.process(0, retention=KEEP_ONE, background=Paused())
    first = run.save({"model": "step 1"}, step=1)
    run.save({"model": "step 2"}, step=2)
    before = world.store.read(world.latest_key)
    assert world.latest().expired == (first.reference,)
    for choice in (world.person().use, world.person().pin):
        with pytest.raises(InvalidArgumentError, match="may be deleted at any moment"):
            choice(id_of(first.reference))
    assert world.store.read(world.latest_key) == before
    assert not world.find(r"\.pin$")


def test_a_sweep_looks_again_and_leaves_what_a_person_has_chosen_meanwhile(world: World) -> None:
    run = world.process(0, retention=KEEP_ONE, background=Paused())
    first = run.save({"model": "step 1"}, step=1)
    run.save({"model": "step 2"}, step=2)
    run.save({"model": "step 3"}, step=3)
    world.edit(checkpoint=first.reference)
    run.background.catch_up()
    assert world.is_whole(first.reference)
    assert world.process(1).restore() == {"model": "step 1"}


def test_nothing_is_deleted_before_the_publish_after_the_one_that_doomed_it(world: World) -> None:
    run = world.process(0, retention=KEEP_ONE)
    first = run.save({"model": "step 1"})
    run.save({"model": "step 2"})
    assert world.is_whole(first.reference)
    run.save({"model": "step 3"})
    assert not world.is_whole(first.reference)


# 7


def test_a_run_does_not_publish_over_a_person_who_rolls_back_to_what_it_resumed_from(world: World) -> None:
    first = saved(world, 0, 1)
    run = world.process(1)
    run.restore()
    run.save({"model": "step 2"}, step=2)
    run.save({"model": "step 3"}, step=3)
    origin = next(t for t in world.latest().retained if t.step == 1)
    world.person().use(origin.checkpoint)
    held = world.store.read(world.latest_key)
    run.save({"model": "step 4"}, step=4)
    assert world.store.read(world.latest_key) == held
    assert world.process(2).restore() == {"model": "step 1"}
    assert first.checkpoints.attempt == 0


# 8


def test_workers_publish_although_only_their_launcher_has_restored(world: World) -> None:
    saved(world, 0, 1, 2)
    world.person().use(world.named()[1])
    launcher = world.process(1)
    assert launcher.restore() == {"model": "step 1"}
    worker = world.process(1)
    worker.restore(checkpoint=launcher.resolution.found.reference)  # type: ignore[union-attr]
    worker.save({"model": "step 3"}, step=3)
    assert world.steps()[0] == 3
    assert not world.latest().held


# 9


def test_a_run_publishes_although_the_checkpoint_that_a_person_named_is_gone(world: World) -> None:
    first = world.process(0, retention=KEEP_ONE)
    gone = first.save({"model": "step 1"}, step=1)
    for step in (2, 3):
        first.save({"model": f"step {step}"}, step=step)
    world.edit(checkpoint=gone.reference)
    run = world.process(1)
    assert run.restore() == {"model": "step 3"}
    run.save({"model": "step 4"}, step=4)
    assert world.steps()[0] == 4


# 10


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_persons_edit_that_keeps_our_write_id_is_not_our_success(world: World, when: str) -> None:
    """Our write lands, the reply is lost, a person edits only `checkpoint`."""
    first = saved(world, 0, 1)
    chosen = world.named()[0]
    first.save({"model": "step 2"}, step=2)
    run = world.process(0, Fault(when=when, op="replace", key="LATEST"))  # type: ignore[arg-type]
    run.restore()
    run.after("replace", "LATEST", lambda: world.edit(checkpoint=chosen))
    run.before("read", "LATEST", lambda: world.edit(checkpoint=chosen), nth=1)
    run.save({"model": "step 3"}, step=3)
    run.save({"model": "step 4"}, step=4)
    assert world.latest().edited
    assert world.process(1).restore() == {"model": "step 1"}


# 11


def test_a_checkpoint_of_a_high_attempt_does_not_fence_the_attempt_0_that_follows_it(tmp_path: Path) -> None:
    old = World(tmp_path)
    saved(old, 3, 1)
    recovered = World(tmp_path, "bucket/again", beside=old)
    recovered.write(f"memory://{old.key_of(old.named()[0])}")
    run = recovered.process(0, background=Paused())
    assert run.restore() == {"model": "step 1"}
    assert recovered.latest().target.attempt == 3
    run.save({"model": "step 2"}, step=2)
    assert recovered.latest().fence == 0
    assert recovered.steps()[0] == 2


# 12


def test_a_slow_rank_does_not_take_the_target_from_a_sibling_that_is_ahead(world: World) -> None:
    quick, slow = world.process(0), world.process(0)
    quick.save_file("model", "1", step=1)
    slow.restore()

    def overtake() -> None:
        quick.save_file("model", "2", step=2)
        quick.save_file("model", "3", step=3)

    slow.before("replace", "LATEST", overtake)
    slow.save_file("model", "slow", step=2)
    assert world.content(world.named()[0]) == {"model": "3"}
    assert [world.content(name)["model"] for name in world.named()] == ["3", "slow", "2"]


# 13


def test_ranks_that_save_a_file_each_at_the_same_time_lose_none(world: World) -> None:
    winner, loser = world.process(0), world.process(0)
    loser.before("create", "LATEST", lambda: winner.save_file("rank-0", "a", step=1))
    loser.save_file("rank-1", "b", step=1)
    assert world.process(1).restore() == {"rank-0": "a", "rank-1": "b"}


# 14


def test_an_object_that_a_later_checkpoint_refers_to_outlives_the_checkpoint_that_brought_it(
    world: World,
) -> None:
    run = world.process(0, retention=KEEP_ONE)
    first = run.save({"frozen": "same", "model": "1"})
    for step in range(2, 6):
        with run.requests() as requests:
            run.save({"frozen": "same", "model": str(step)})
        assert not any("upload" in request and "frozen" in request for request in requests)
    assert not world.is_whole(first.reference)
    assert world.process(1).restore() == {"frozen": "same", "model": "5"}


def test_what_a_sibling_swept_between_look_and_commit_is_never_named(world: World) -> None:
    """The save refers to an object of X1; a sibling lets go of X1 and deletes it before our commit."""
    sibling = world.process(0, retention=KEEP_ONE)
    run = world.process(0, retention=KEEP_ONE)
    run.save_file("frozen", "same", step=1)

    def let_go() -> None:
        for step in range(2, 6):
            sibling.save({"other": str(step)}, step=step)
            sibling.save({"another": str(step)}, step=step)

    run.before("create", "manifests", let_go)
    try:
        run.save_file("model", "2", step=2)
    except DamagedError as error:
        assert "is gone" in str(error)  # noqa: PT017 - either end is right, but not a broken checkpoint
    assert all(world.is_whole(name) for name in world.named())


# 15


def test_after_a_roll_back_the_walk_back_does_not_pick_what_was_abandoned(world: World) -> None:
    saved(world, 0, 1, 2, 3)
    world.person().use(world.named()[-1])
    restarted = world.process(0)
    assert restarted.restore() == {"model": "step 1"}
    restarted.save({"model": "step 2, again"}, step=2)
    world.delete_latest()
    assert world.process(1).restore() == {"model": "step 2, again"}


# 16


def test_a_bare_path_loses_neither_history_nor_pins(world: World) -> None:
    first = world.process(0)
    pinned = first.save({"model": "step 1"}, step=1)
    world.person().pin(pinned.reference)
    for step in (2, 3, 4):
        first.save({"model": f"step {step}"}, step=step)
    world.write(world.named()[1])
    run = world.process(1)
    assert run.restore() == {"model": "step 3"}
    assert sorted(step or 0 for step in world.steps()) == [1, 2, 3, 4]
    for step in range(5, 12):
        run.save({"model": f"step {step}"}, step=step)
    assert world.is_whole(pinned.reference)
    assert [target.step for target in world.latest().retained if target.pinned] == [1]


# 17


def recovering(world: World, old: World, **settings: object) -> Process:
    """Attempt 0 of an execution that Flyte recovers from another one."""
    origin = Origin(what="another execution", homes=lambda *_: (old.home_of(0),), prefix=old.key)
    return Process(world, world.node(0, origins=(origin,)), **settings)  # type: ignore[arg-type]


def test_a_recovered_run_that_is_killed_while_it_copies_leaves_the_link_in_latest(tmp_path: Path) -> None:
    old = World(tmp_path)
    saved(old, 0, 1)
    world = World(tmp_path, "bucket/again", beside=old)
    with pytest.raises(Killed):
        recovering(world, old, faults=(Fault("kill", op="copy"),)).restore()
    assert world.process(1).restore() == {"model": "step 1"}


def test_what_was_recovered_from_another_bucket_is_copied_before_restore_returns(tmp_path: Path) -> None:
    old = World(tmp_path, "elsewhere/run")
    saved(old, 0, 1)
    world = World(tmp_path, "bucket/again", beside=old)
    run = recovering(world, old, background=Paused())
    assert run.restore() == {"model": "step 1"}
    assert run.background.waiting == []  # type: ignore[attr-defined]
    assert world.home_of(0) in world.key_of(world.named()[0])
    assert world.process(1).restore() == {"model": "step 1"}


# 18


def test_one_flipped_bit_on_the_wire_does_not_cost_a_checkpoint(world: World) -> None:
    saved(world, 0, 1, 2)
    before = world.store.read(world.latest_key)
    run = world.process(1, Fault("corrupt", op="download"))
    assert run.restore() == {"model": "step 2"}
    assert world.store.read(world.latest_key) == before


# 19


def test_without_compare_and_swap_a_restore_looks_at_the_homes_too(tmp_path: Path) -> None:
    """A1 and A0 read, A1 writes and reads back its own, A0 writes."""
    world = World(tmp_path, guarantee=Guarantee.LAST_WRITER_WINS)
    zombie = saved(world, 0, 1)
    newer = world.process(1)
    newer.restore()
    zombie.before("upload", "LATEST", lambda: newer.save({"model": "newer"}, step=3))
    zombie.save({"model": "older"}, step=2)
    assert world.steps()[0] == 2, "the zombie has overwritten LATEST, or this test proves nothing"
    assert world.process(2).restore() == {"model": "newer"}


def test_without_compare_and_swap_a_zombie_that_looks_again_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, guarantee=Guarantee.LAST_WRITER_WINS)
    zombie = saved(world, 0, 1)
    saved(world, 1, 2)
    with pytest.raises(SupersededError):
        zombie.save({"model": "older"}, step=3)
    assert world.steps()[0] == 2


def test_without_compare_and_swap_a_manifest_that_is_deleted_before_it_is_read_back_stays_so(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, guarantee=Guarantee.LAST_WRITER_WINS)
    zombie = saved(world, 0, 1)

    def newer_saves_and_sweeps() -> None:
        saved(world, 1, 3, 4, 5, retention=KEEP_ONE)
        assert world.find("attempts/0/manifests") == []

    zombie.after("upload", "manifests", newer_saves_and_sweeps)
    with pytest.raises(SupersededError):
        zombie.save({"model": "older"}, step=2)
    assert world.find("attempts/0/manifests") == []


def test_without_compare_and_swap_a_held_latest_is_obeyed_whatever_the_homes_have(tmp_path: Path) -> None:
    world = World(tmp_path, guarantee=Guarantee.LAST_WRITER_WINS)
    saved(world, 0, 1, 2)
    world.edit(checkpoint=world.named()[1])
    assert world.process(1).restore() == {"model": "step 1"}


# 20


def test_an_evaluation_in_another_job_moves_nothing(world: World) -> None:
    saved(world, 0, 1, 2)
    world.edit(checkpoint=world.named()[1])
    before = {key: world.store.read(key) for key in world.find()}
    evaluation = Process(world, replace(world.node(7)), read_only=True)
    assert evaluation.restore() == {"model": "step 1"}
    assert {request.op for request in evaluation.store.log} <= {"read", "list", "download"}
    assert {key: world.store.read(key) for key in world.find()} == before
    assert json.loads(before[world.latest_key][0])["fence"] == 0
