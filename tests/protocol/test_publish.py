"""Publish: what a save does to LATEST, whoever else is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckptptr.errors import ConflictError, DamagedError, StoreUnavailableError, SupersededError
from ckptptr.protocol.retention import Retention
from ckptptr.testing import Fault
from ckptptr.testing.faults import Killed
from tests.helpers import Paused, Process, World, id_of

KEEP_ONE = Retention(keep_last=1)


def test_a_save_becomes_the_target_and_the_old_target_goes_to_the_front_of_the_history(world: World) -> None:
    run = world.process(0)
    for step in (1, 2, 3):
        run.save({"model": str(step)}, step=step)
    assert world.steps() == [3, 2, 1]
    assert [target.seq for target in world.latest().retained] == [3, 2, 1]
    assert world.latest().fence == 0


def test_latest_says_who_wrote_it_and_when(world: World) -> None:
    world.process(0).save({"model": "1"}, step=7)
    pointer = world.latest()
    assert pointer.target.published_at == "2026-11-23T15:20:05Z"
    assert pointer.target.step == 7
    assert pointer.published_by.count("/") == 2
    assert not pointer.held
    assert not pointer.edited


# Fencing


def test_a_zombie_that_saves_after_a_newer_attempt_published_is_refused(world: World) -> None:
    zombie = world.process(0)
    zombie.save({"model": "1"})
    newer = world.process(1)
    newer.restore()
    newer.save({"model": "2"})
    before = world.store.read(world.latest_key)
    with pytest.raises(SupersededError, match="attempt 1 has taken over, this is attempt 0"):
        zombie.save({"model": "late"})
    assert world.store.read(world.latest_key) == before


def test_a_zombie_that_is_refused_once_uploads_nothing_more(world: World) -> None:
    zombie = world.process(0)
    zombie.save({"model": "1"})
    world.process(1).save({"model": "2"})
    for _ in range(2):
        with pytest.raises(SupersededError):
            zombie.save({"model": "late"})
    with zombie.requests() as requests, pytest.raises(SupersededError):
        zombie.save({"model": "late"})
    assert requests == ["read LATEST"]


def test_a_zombie_is_refused_after_a_newer_attempt_has_only_adopted(world: World) -> None:
    zombie = world.process(0)
    zombie.save({"model": "1"}, step=1)
    zombie.save({"model": "2"}, step=2)
    world.person().use(world.named()[1])
    world.process(1).restore()
    with pytest.raises(SupersededError):
        zombie.save({"model": "late"})
    assert world.steps()[0] == 1


def test_a_zombie_finds_its_fence_again_where_latest_is_gone(world: World) -> None:
    zombie = world.process(0)
    zombie.save({"model": "1"})
    world.process(1).save({"model": "2"})
    world.delete_latest()
    with pytest.raises(SupersededError):
        zombie.save({"model": "late"})
    assert world.process(2).restore() == {"model": "2"}


def test_two_processes_of_one_attempt_do_not_fence_each_other(world: World) -> None:
    for step in (1, 2, 3, 4):
        world.process(5).save({"model": str(step)}, step=step)
    assert world.steps() == [4, 3, 2]


# LATEST lost or damaged


@pytest.mark.parametrize("left", [None, "", "{", "\0\1", "[1, 2]"])
def test_where_latest_is_lost_a_save_rebuilds_the_history_from_the_homes(
    world: World, left: str | None
) -> None:
    run = world.process(0)
    for step in (1, 2):
        run.save({"model": str(step)}, step=step)
    if left is None:
        world.delete_latest()
    else:
        world.write(left)
    later = world.process(1)
    later.save({"model": "3"}, step=3)
    assert world.steps() == [3, 2, 1]
    kept = [world.store.read(key)[0] for key in world.find("LATEST.damaged-")]
    assert kept == ([] if left is None else [left.encode()])


def test_a_damaged_latest_is_kept_only_once(world: World) -> None:
    run = world.process(0)
    for _ in range(2):
        world.write("{")
        run.save({"model": "1"})
    assert len(world.find("LATEST.damaged-")) == 1


def test_where_the_damaged_bytes_cannot_be_kept_nothing_overwrites_them(world: World) -> None:
    run = world.process(0, Fault(op="create", key="damaged"))
    world.write("{")
    with pytest.raises(StoreUnavailableError):
        run.save({"model": "1"})
    assert world.store.read(world.latest_key)[0] == b"{"
    run.save({"model": "2"})
    assert world.process(1).restore() == {"model": "2"}


def test_a_history_that_is_rebuilt_has_the_pins(world: World) -> None:
    run = world.process(0, retention=Retention(keep_last=2))
    pinned = run.save({"model": "1"}, step=1)
    world.person().pin(pinned.reference)
    run.save({"model": "2"}, step=2)
    world.delete_latest()
    for step in range(3, 8):
        run.save({"model": str(step)}, step=step)
    assert world.steps() == [7, 6, 1]
    assert world.is_whole(pinned.reference)


def test_a_history_that_is_rebuilt_has_only_what_is_whole(world: World) -> None:
    run = world.process(0)
    for step in (1, 2, 3):
        run.save({"model": str(step)}, step=step)
    world.store.delete([key for key in world.find("model") if id_of(world.named()[1]) in key])
    world.store.upload(world.key_of(world.named()[2]), [b"{"])
    world.delete_latest()
    run.save({"model": "4"}, step=4)
    assert world.steps() == [4, 3]


# Siblings: several processes of one attempt


def test_two_ranks_whose_first_saves_cross_lose_no_file_whoever_moves_latest_first(tmp_path: Path) -> None:
    """LATEST is absent, and the one that makes it finds the other's manifest in a listing."""

    def history(moment: int) -> int:
        scratch = tmp_path / str(moment)
        scratch.mkdir()
        world = World(scratch)
        slow, quick = world.process(0), world.process(0)
        slow.before("", "", lambda: quick.save_file("quick", "q", step=1), nth=moment)
        slow.save_file("slow", "s", step=1)
        restored = world.process(1).restore()
        assert restored == {"slow": "s", "quick": "q"}, f"the quick one came before request {moment}"
        assert all(world.is_whole(name) for name in world.named())
        return len(slow.store.log)

    never = 1000
    with pytest.raises(AssertionError):
        history(never)  # the quick one has not come
    for moment in range(1, 6):
        assert history(moment) > moment


def test_a_rank_that_a_restore_has_named_in_a_rebuilt_history_still_merges(world: World) -> None:
    """Its own swap finds it named, which is no proof that anybody has taken its file."""
    first, second = (
        world.process(0),
        world.process(0, Fault("kill", when="after", op="create", key="manifests")),
    )

    def another_dies_and_a_third_restores() -> None:
        with pytest.raises(Killed):
            second.save_file("second", "2")
        assert world.process(0, background=Paused()).restore() == {"second": "2"}

    first.before("create", "LATEST", another_dies_and_a_third_restores)
    first.save_file("first", "1")
    assert world.process(1).restore() == {"first": "1", "second": "2"}


def test_ranks_lose_no_file_where_latest_is_lost_between_their_saves(world: World) -> None:
    first, second = world.process(0), world.process(0)
    first.save_file("first", "1")
    second.save_file("second", "1")
    first.save_file("first", "2")
    second.save_file("second", "2")
    world.delete_latest()
    first.save_file("first", "3")
    assert world.process(1).restore() == {"first": "3", "second": "2"}


def test_three_ranks_whose_first_saves_cross_lose_no_file(world: World) -> None:
    """The one that makes LATEST finds two in a listing, and merges with the newer of them only."""
    first, second, third = (world.process(0) for _ in range(3))
    second.before("create", "LATEST", lambda: third.save_file("third", "3"))
    first.before("create", "LATEST", lambda: second.save_file("second", "2"))
    first.save_file("first", "1")
    assert world.process(1).restore() == {"first": "1", "second": "2", "third": "3"}


def test_a_save_that_only_a_listing_says_is_passed_makes_latest_first(world: World) -> None:
    """Else a restore that listed the homes before would find neither checkpoint nor LATEST: a fresh start."""
    slow, restoring = world.process(0), world.process(0)
    quick = world.process(
        0,
        Fault("fail", op="upload", key="data"),
        Fault("kill", when="after", op="create", key="manifests"),
    )

    def another_commits_and_dies() -> None:
        with pytest.raises(StoreUnavailableError):
            quick.save({"model": "not sent"})
        with pytest.raises(Killed):
            quick.save({"model": "2", "frozen": "same"}, step=2)

    slow.before("create", "manifests", another_commits_and_dies)
    restoring.after("list", f"{world.home_of(0)}$", lambda: slow.save_file("model", "1", step=1))
    assert restoring.restore() == {"model": "2", "frozen": "same"}
    assert world.steps() == [2]
    assert world.latest().fence == 0


def swept_before_its_commit(world: World, *, held: bool) -> Process:
    """A save that refers to a file of the checkpoint before, which siblings sweep while it goes on."""
    run, sibling = (world.process(0, retention=KEEP_ONE) for _ in range(2))
    world.person().pin(run.save({"old": "x"}).reference)
    run.checkpoints._session.forget()
    run.save({"frozen": "same", "model": "1"}, step=1)

    def go_on() -> None:
        for turn in range(5):
            sibling.save({"frozen": f"new {turn}", "model": f"new {turn}"})
        if held:
            world.edit(note="hands off")

    run.before("create", "manifests", go_on)
    run.save({"frozen": "same", "model": "2"}, step=2)
    return run


def test_a_save_that_refers_to_what_siblings_have_swept_is_not_named(world: World) -> None:
    swept_before_its_commit(world, held=False)
    assert all(world.is_whole(name) for name in world.named())
    assert world.process(1).restore() == {"frozen": "new 4", "model": "new 4"}


def test_a_save_that_refers_to_what_siblings_have_swept_is_sent_again_beside_a_hold(world: World) -> None:
    swept_before_its_commit(world, held=True)
    (newest,) = [n for n in world.committed() if world.is_whole(n) and world.manifest(n).step == 2]
    assert world.content(newest) == {"frozen": "same", "model": "2"}


def test_a_save_whose_hold_is_over_when_it_is_committed_moves_latest(world: World) -> None:
    run = world.process(0)
    run.save({"model": "1"}, step=1)
    world.edit(note="hands off")
    run.before("create", "manifests", lambda: world.person().release(world.committed()[0]))
    run.save({"model": "2"}, step=2)
    assert world.steps() == [2, 1]


@pytest.mark.parametrize("is_held_again", [False, True])
def test_a_save_that_a_newer_attempt_overtakes_beside_a_hold_is_superseded(
    world: World, is_held_again: bool
) -> None:
    run, newer = world.process(0), world.process(1)
    run.save({"model": "1"}, step=1)
    world.edit(note="hands off")

    def take_over() -> None:
        newer.restore()
        if is_held_again:
            world.person().use(world.named()[0])

    run.before("create", "manifests", take_over)
    with pytest.raises(SupersededError):
        run.save({"model": "2"}, step=2)
    assert world.steps()[0] == 1


def test_a_save_that_a_newer_attempt_overtakes_while_it_is_committed_again_is_superseded(
    world: World,
) -> None:
    run, newer = world.process(0), world.process(1)
    run.save({"model": "1", "frozen": "same"}, step=1)
    run.before("create", "manifests", lambda: world.write("no/such/checkpoint"))
    run.before("copy", "data", newer.restore)
    with pytest.raises(SupersededError):
        run.save_file("model", "2", step=2)
    assert world.latest().fence == 1


@pytest.mark.parametrize("keep_last", [1, 3])
@pytest.mark.parametrize("saves", [1, 2, 5])
def test_a_slow_rank_loses_no_file_wherever_a_quick_one_goes_on(
    tmp_path: Path, saves: int, keep_last: int
) -> None:
    retention = Retention(keep_last=keep_last)

    def history(moment: int) -> int:
        scratch = tmp_path / str(moment)
        scratch.mkdir()
        world = World(scratch)
        slow, quick = world.process(0, retention=retention), world.process(0, retention=retention)
        slow.save_file("slow", "1", step=1)

        def go_on() -> None:
            for step in range(saves):
                quick.save_file("quick", str(step), step=step)

        start = len(slow.store.log)
        slow.before("", "", go_on, nth=moment)
        slow.save_file("slow", "2", step=2)
        requests = len(slow.store.log) - start
        restored = world.process(1).restore()
        assert restored is not None
        assert restored["slow"] == "2", f"the quick one came before request {moment}"
        assert restored.get("quick", str(saves - 1)) == str(saves - 1)
        assert all(world.is_whole(name) for name in world.named()), f"at request {moment}"
        return requests

    never = 1000
    for moment in range(1, history(never) + 1):
        history(moment)


def test_a_rank_may_have_its_own_empty_folders(world: World, tmp_path: Path) -> None:
    first, second = world.process(0), world.process(0)
    for name in ("one", "two"):
        (tmp_path / name / name).mkdir(parents=True)
    second.before("create", "LATEST", lambda: first.checkpoints.save(tmp_path / "one"))
    second.checkpoints.save(tmp_path / "two")
    assert world.manifest(world.named()[0]).folders == ("one", "two")


def test_a_merge_has_the_metadata_of_both_and_the_step_of_the_one_that_is_ahead(world: World) -> None:
    first, second = world.process(0), world.process(0)
    first.save_file("a", "1", step=1)
    second.restore()

    def go_on() -> None:
        first.save_file("a", "2", step=20, loss=0.2)
        first.save_file("a", "3", step=30, loss=0.1)

    second.before("replace", "LATEST", go_on)
    second.save_file("b", "1", step=10, loss=0.5, rank=1)
    merged = world.manifest(world.named()[0])
    assert (merged.step, merged.metadata) == (30, {"loss": 0.1, "rank": 1})


def test_what_a_conflict_left_behind_is_swept_without_a_search_for_orphans(world: World) -> None:
    first, second = world.process(0, retention=KEEP_ONE), world.process(0, retention=KEEP_ONE)
    first.save_file("a", "0")
    second.save_file("b", "0")
    first.save_file("a", "1")
    for turn in range(20):
        second.before("replace", "LATEST", lambda turn=turn: first.save_file("a", f"1{turn}"))
        second.save_file("b", str(turn))
        assert len(world.committed()) <= 8
    assert world.process(1).restore() == {"a": "119", "b": "19"}


def test_what_a_failed_save_uploaded_is_swept_without_a_search_for_orphans(world: World) -> None:
    run = world.process(0, Fault(op="create", key="manifests", nth=4, times=50), retention=KEEP_ONE)
    for step in range(3):
        run.save({"model": str(step)})
    with pytest.raises(StoreUnavailableError):
        run.save({"model": "lost"})
    (lost,) = [key for key in world.find(r"/data/\d{10}-") if world.store.read(key)[0] == b"lost"]
    run.fail()
    for step in range(3):
        run.save({"model": f"again {step}"})
    assert lost not in world.find("")


def test_a_save_that_was_published_let_go_and_swept_before_its_reply_came_is_not_named_again(
    world: World,
) -> None:
    """Our write landed, the reply is lost; by the time we read back, siblings have swept it."""
    run = world.process(0, Fault(when="after", op="replace", key="LATEST"), retention=KEEP_ONE)
    sibling = world.process(0, retention=KEEP_ONE)
    run.save_file("a", "1")
    pinned = world.named()[0]
    world.person().pin(pinned)
    run.checkpoints._session.forget()

    def go_on() -> None:
        for step in range(4):
            sibling.save_file("b", str(step))

    run.after("replace", "LATEST", go_on)
    run.save_file("a", "2")
    assert all(world.is_whole(name) for name in world.named())
    assert world.process(1).restore() == {"a": "2", "b": "3"}


def test_nor_is_one_that_has_no_file_of_its_own(world: World) -> None:
    """All of it is unchanged and refers to a pinned checkpoint: its files are safe, its manifest was not."""
    run, sibling = (world.process(0, retention=Retention(keep_last=2)) for _ in range(2))
    run.save({"a": "1"})
    world.person().pin(world.named()[0])
    run.checkpoints._session.forget()
    run.fail(Fault(when="after", op="replace", key="LATEST"))

    def go_on() -> None:
        for step in range(6):
            sibling.save_file("b", str(step))

    run.after("replace", "LATEST", go_on)
    run.save({"a": "1"})
    assert all(world.is_whole(name) for name in world.named())
    assert world.process(1).restore() == {"a": "1", "b": "5"}


def test_a_conflict_that_never_ends_is_an_error_and_what_was_confirmed_stays(world: World) -> None:
    first, second = world.process(0), world.process(0)
    first.save_file("a", "0")
    second.restore()
    for turn in range(10):
        second.before(
            "replace", "LATEST", lambda turn=turn: first.save_file("a", str(turn + 1)), nth=turn + 1
        )
    with pytest.raises(ConflictError, match="each of the 10 times"):
        second.save_file("b", "1")
    assert world.process(1).restore() == {"a": "10"}


# Commit


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_manifest_whose_reply_was_lost_is_committed_once(world: World, when: str) -> None:
    run = world.process(0, Fault(when=when, op="create", key="manifests", times=2))  # type: ignore[arg-type]
    run.save({"model": "1"})
    assert len(world.committed()) == 1
    assert world.process(1).restore() == {"model": "1"}


def test_a_manifest_that_cannot_be_put_is_an_error_and_latest_stays(world: World) -> None:
    run = world.process(0)
    run.save({"model": "1"})
    failing = world.process(0, Fault(op="create", key="manifests", times=100))
    failing.restore()
    with pytest.raises(StoreUnavailableError, match="LATEST is unchanged"):
        failing.save({"model": "2"})
    assert world.process(1).restore() == {"model": "1"}


def test_a_manifest_that_is_not_ours_under_our_name_is_damage(world: World) -> None:
    run = world.process(0)
    run.before("create", "manifests", lambda: world.store.upload(run.store.log[-1].key, [b"not ours"]))
    with pytest.raises(DamagedError, match="another manifest stands under this name"):
        run.save({"model": "1"})


# Seq


def test_seq_is_above_everything_in_latest_its_history_and_our_own_home(world: World) -> None:
    run = world.process(0)
    for step in (1, 2, 3):
        run.save({"model": str(step)}, step=step)
    world.person().use(world.named()[2])
    later = world.process(1)
    later.restore()
    assert later.save({"model": "4"}).seq == 4
    unpublished = world.process(1, Fault(op="replace", key="LATEST", times=100))
    with pytest.raises(StoreUnavailableError):
        unpublished.save({"model": "5"})
    assert world.process(1).save({"model": "6"}).seq == 6


def test_an_id_is_never_used_twice(world: World) -> None:
    names = []
    for _ in range(3):
        run = world.process(0)
        names.append(id_of(run.save({"model": "1"}).reference))
        world.delete_latest()
        world.store.delete(world.find("manifests/"))
    assert len(set(names)) == 3


def test_a_save_while_the_sweep_waits_costs_nothing_more(world: World) -> None:
    run = world.process(0, background=Paused(), retention=KEEP_ONE)
    for step in range(10):
        run.save({"model": str(step)})
    run.background.catch_up()
    run.save({"model": "last"})
    run.background.catch_up()
    assert len(world.committed()) <= 3
