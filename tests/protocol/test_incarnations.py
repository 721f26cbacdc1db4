"""Two incarnations of one attempt: a container restarts in place, and its predecessor may live on."""

from __future__ import annotations

import pytest

from ckptptr.errors import DamagedError, SupersededError
from ckptptr.protocol.retention import Retention
from ckptptr.testing import Fault
from tests.helpers import Paused, Process, World


def incarnation(world: World, token: str, attempt: int = 3) -> Process:
    return world.process(attempt, incarnation=token)


@pytest.fixture
def old(world: World) -> Process:
    """An incarnation that has saved step 1 and goes on living."""
    process = incarnation(world, "old")
    process.save({"model": "1"}, step=1)
    return process


def test_a_restart_in_place_resumes_from_its_own_home_and_takes_the_node_over(
    world: World, old: Process
) -> None:
    new = incarnation(world, "new")
    with new.requests() as requests:
        assert new.restore() == {"model": "1"}
    assert [request.split()[0] for request in requests] == ["read", "read", "download", "replace"]
    assert (world.latest().fence, world.latest().incarnation) == (3, "new")
    with pytest.raises(SupersededError, match="was started again and has taken over"):
        old.save({"model": "2"}, step=2)
    assert world.steps() == [1]


def test_the_predecessor_is_refused_before_it_uploads_once_it_has_noticed(world: World, old: Process) -> None:
    incarnation(world, "new").restore()
    for _ in range(2):
        with pytest.raises(SupersededError), old.requests() as requests:
            old.save({"model": "2"})
    assert not any(request.startswith(("upload", "create", "replace")) for request in requests)


def test_a_predecessor_that_has_noticed_stays_refused_beside_an_edit_of_latest(
    world: World, old: Process
) -> None:
    incarnation(world, "new").restore()
    with pytest.raises(SupersededError):
        old.save({"model": "2"})
    world.write("#1")
    for act in (old.restore, lambda: old.save({"model": "3"})):
        with pytest.raises(SupersededError, match="was started again and has taken over"):
            act()


@pytest.mark.parametrize("act", ["save", "restore"])
def test_a_predecessor_whose_reply_was_lost_knows_that_it_had_the_node(world: World, act: str) -> None:
    incarnation(world, "oldest").save({"model": "0"}, step=0)
    old, new = incarnation(world, "old"), incarnation(world, "new")

    def take_over() -> None:
        new.restore()
        new.save({"model": "2"}, step=2)

    old.fail(Fault(when="after", op="replace"))
    old.after("replace", "LATEST", take_over)
    if act == "save":
        assert old.save({"model": "1"}, step=1).reference in world.named()
    with pytest.raises(SupersededError):
        old.restore()
    assert (world.latest().incarnation, world.latest().predecessors) == ("new", ("old", "oldest"))
    assert world.process(4).restore() == {"model": "2"}


@pytest.mark.usefixtures("old")
def test_a_rank_that_never_moved_latest_is_superseded_with_its_siblings(world: World) -> None:
    incarnation(world, "new").restore()
    with pytest.raises(SupersededError):
        incarnation(world, "old").save({"rank-1": "2"}, step=2)


@pytest.mark.usefixtures("old")
def test_the_predecessors_of_an_earlier_attempt_do_not_matter(world: World) -> None:
    incarnation(world, "new").restore()
    world.process(4, incarnation="old").save({"model": "2"}, step=2)
    assert (world.latest().incarnation, world.latest().predecessors) == ("old", ())


def test_neither_may_the_predecessor_restore_itself_back(world: World, old: Process) -> None:
    new = incarnation(world, "new")
    new.restore()
    new.save({"model": "2"}, step=2)
    with pytest.raises(SupersededError):
        old.restore()
    assert world.latest().incarnation == "new"


def test_a_save_that_was_under_way_in_the_predecessor_does_not_land(world: World, old: Process) -> None:
    old.before("replace", "LATEST", lambda: incarnation(world, "new").restore())
    with pytest.raises(SupersededError):
        old.save({"model": "2"}, step=2)
    assert world.steps() == [1]


@pytest.mark.usefixtures("old")
def test_a_second_restore_of_the_same_incarnation_only_follows(world: World) -> None:
    new = incarnation(world, "new")
    new.restore()
    with new.requests() as requests:
        new.restore()
    assert not any(request.startswith("replace") for request in requests)


def test_what_the_predecessor_saved_during_the_restore_is_what_is_resumed_from(
    world: World, old: Process
) -> None:
    new = incarnation(world, "new")
    new.before("replace", "LATEST", lambda: old.save({"model": "2"}, step=2))
    assert new.restore() == {"model": "2"}
    with pytest.raises(SupersededError):
        old.save({"model": "3"}, step=3)


def test_a_restart_that_saves_without_restoring_replaces_and_is_not_merged_with_its_predecessor(
    world: World, old: Process
) -> None:
    old.save_file("stale", "1")
    incarnation(world, "new").save({"model": "anew"}, step=0)
    assert world.process(4).restore() == {"model": "anew"}
    with pytest.raises(SupersededError):
        old.save_file("stale", "2")


def test_a_predecessor_that_is_ahead_during_the_first_save_is_overtaken_with_a_higher_seq(
    world: World, old: Process
) -> None:
    def go_on() -> None:
        for step in (2, 3):
            old.save({"model": str(step)}, step=step)

    new = incarnation(world, "new")
    new.before("replace", "LATEST", go_on)
    saved = new.save({"model": "anew"}, step=0)
    target = world.latest().target
    assert (target.checkpoint, target.step) == (saved.reference, 0)
    assert target.seq == max(entry.seq for entry in world.latest().retained)
    world.delete_latest()  # the walk-back, which goes by (attempt, seq), agrees
    assert world.process(4).restore() == {"model": "anew"}


def test_processes_of_one_incarnation_are_siblings(world: World) -> None:
    first, second = incarnation(world, "same"), incarnation(world, "same")
    first.save_file("rank-0", "0")
    second.save_file("rank-1", "1")
    first.save_file("rank-0", "00")
    assert world.process(4).restore() == {"rank-0": "00", "rank-1": "1"}


def test_a_sibling_that_cannot_tell_its_incarnation_takes_nobodys_place(world: World, old: Process) -> None:
    world.process(3).save_file("rank-1", "1")
    assert world.latest().incarnation == "old"
    old.save_file("rank-0", "0")
    assert world.process(4).restore() == {"model": "1", "rank-0": "0", "rank-1": "1"}


def test_a_person_who_chooses_or_pins_leaves_the_incarnation(world: World, old: Process) -> None:
    new = incarnation(world, "new")
    new.restore()
    world.person().pin(world.latest().target.checkpoint)
    assert world.latest().incarnation == "new"
    with pytest.raises(SupersededError):
        old.save({"model": "2"})


def test_a_slow_forward_copy_of_the_predecessor_leaves_latest_alone(world: World) -> None:
    world.process(2).save({"model": "1"}, step=1)
    world.delete_latest()
    background = Paused()
    world.process(3, incarnation="old", background=background).restore()
    incarnation(world, "new").restore()
    before = world.seen()
    background.catch_up("copy")
    assert world.seen() == before


def test_a_newer_attempt_takes_over_whatever_the_incarnation(world: World, old: Process) -> None:
    world.process(4, incarnation="old").save({"model": "2"})
    assert (world.latest().fence, world.latest().incarnation) == (4, "old")
    with pytest.raises(SupersededError, match="attempt 4 has taken over"):
        old.save({"model": "3"})


@pytest.fixture
def beside(world: World) -> Process:
    """A predecessor that has saved step 3 beside a hold, and will delete it after its next save."""
    process = world.process(3, incarnation="old", retention=Retention(keep_last=1))
    process.save({"model": "1", "frozen": "same"}, step=1)
    world.write("no/such/checkpoint")
    for step in (2, 3):
        process.save({"model": f"{step}", "frozen": "same"}, step=step)
    return process


@pytest.mark.usefixtures("beside")
@pytest.mark.parametrize("rank", [0, 1])
def test_no_save_refers_to_what_was_found_beside_a_hold(world: World, rank: int) -> None:
    ranks = [incarnation(world, "new") for _ in range(2)]
    for process in ranks:  # the second one sees no hold
        assert process.restore() == {"model": "3", "frozen": "same"}
    found = world.latest().target.checkpoint
    saved = ranks[rank].save_file("more", "new").reference
    assert world.content(saved) == {"model": "3", "frozen": "same", "more": "new"}
    assert not {*world.objects_of(saved)} & {*world.objects_of(found)}


def test_a_save_that_needs_what_a_predecessor_deleted_beside_a_hold_fails(
    world: World, beside: Process
) -> None:
    new = incarnation(world, "new")
    new.before("replace", "LATEST", lambda: beside.save({"model": "4", "frozen": "same"}, step=4))
    assert new.restore() == {"model": "3", "frozen": "same"}
    with pytest.raises(DamagedError, match="a file that the current content consists of is gone"):
        new.save_file("more", "new", step=5)
    saved = new.save({"model": "6", "frozen": "same"}, step=6)
    assert world.is_whole(saved.reference)
    assert world.latest().target.checkpoint == saved.reference
