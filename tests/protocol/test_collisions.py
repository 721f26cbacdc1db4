"""Two nodes whose hashes collide share prefix and homes: neither names nor deletes what is the other's."""

from __future__ import annotations

import pytest

from ckptptr.protocol.manifest import Lineage
from ckptptr.protocol.retention import Retention
from tests.helpers import Paused, Process, World

OURS, THEIRS = Lineage(execution="e", node="n2/0/n3/0/dn0"), Lineage(execution="e", node="n2/0/n3/0/dn4")
KEEP_ONE, KEEP_ALL = Retention(keep_last=1), Retention(keep_last=100)


def of(world: World, lineage: Lineage, attempt: int = 0, **settings: object) -> Process:
    return Process(world, world.node(attempt, lineage=lineage), retention=KEEP_ONE, **settings)  # type: ignore[arg-type]


def theirs(world: World, *steps: int, attempt: int = 0) -> list[str]:
    """What the other node saves, all of it still there."""
    run = of(world, THEIRS, attempt, background=Paused())
    return [run.save({"model": f"theirs {step}"}, step=step).reference for step in steps]


def untouched(world: World, references: list[str]) -> bool:
    """Whether the other node's checkpoints are whole, and LATEST does not know of them."""
    mentioned = {*world.named(), *world.latest().expired}
    return all(map(world.is_whole, references)) and not mentioned & set(references)


@pytest.fixture(params=["restoring", "without restoring"])
def run(request: pytest.FixtureRequest, world: World) -> tuple[Process, list[str]]:
    """Attempt 1 of ours, in a node prefix where the other node's attempt 0 has saved."""
    kept = theirs(world, 1, 2, 3)
    ours = of(world, OURS, 1)
    if request.param == "restoring":
        assert ours.restore() is None
        assert untouched(world, kept)
    return ours, kept


def test_ours_names_and_deletes_only_its_own_though_both_share_latest_and_homes(
    run: tuple[Process, list[str]], world: World
) -> None:
    ours, kept = run
    for step in range(5):
        ours.save({"model": f"ours {step}"}, step=step)
    assert untouched(world, kept)
    assert len(world.committed()) - len(kept) <= 3  # and retention goes on
    assert of(world, OURS, 2).restore() == {"model": "ours 4"}


def test_what_latest_named_of_the_other_leaves_it_without_a_restore(world: World) -> None:
    others = Process(world, world.node(0, lineage=THEIRS), retention=KEEP_ALL)
    kept = [others.save({"model": f"theirs {step}"}, step=step).reference for step in (1, 2)]
    ours = Process(world, world.node(1, lineage=OURS), retention=KEEP_ALL)
    ours.save({"model": "ours"}, step=3)
    ours.save({"model": "ours"}, step=4)
    assert untouched(world, kept)
    assert world.steps() == [4, 3]


def test_in_one_home_nothing_is_merged_with_what_the_other_saves_at_the_same_time(world: World) -> None:
    ours = of(world, OURS)
    ours.save_file("model", "ours")
    reference = theirs(world, 9)[0]
    ours.save_file("opt", "ours")
    assert of(world, OURS).restore() == {"model": "ours", "opt": "ours"}
    assert world.is_whole(reference)


def test_a_lost_latest_is_rebuilt_without_what_is_the_others(world: World) -> None:
    of(world, OURS).save({"model": "ours"}, step=1)
    kept = theirs(world, 2, 3)
    world.delete_latest()
    ours = of(world, OURS, 1)
    ours.save({"model": "ours again"}, step=4)
    assert untouched(world, kept)
    assert world.steps() == [4]


def test_a_hand_edit_is_repaired_without_what_is_the_others(world: World) -> None:
    mine = of(world, OURS).save({"model": "ours"}, step=1).reference
    kept = theirs(world, 2, attempt=1)
    world.write(mine)
    assert of(world, OURS, 2).restore() == {"model": "ours"}
    assert untouched(world, kept)


def test_what_the_other_has_in_a_later_home_is_no_newer_attempt_of_ours(world: World) -> None:
    of(world, OURS).save({"model": "ours"})
    theirs(world, 2, attempt=3)
    world.delete_latest()
    assert of(world, OURS, 1).restore() == {"model": "ours"}


def test_payload_that_the_other_is_still_uploading_is_left_alone(world: World) -> None:
    kept = theirs(world, 1)
    uploading = f"{world.home_of(0)}/data/0000000002-a0000-uploading/model"
    world.store.create(uploading, b"half")
    ours = of(world, OURS, 1)
    for step in range(5):
        ours.save({"model": str(step)}, step=step)
    assert world.find("uploading") == [uploading]
    assert untouched(world, kept)


def test_what_a_person_takes_from_the_other_is_copied_before_latest_names_it(world: World) -> None:
    """Else the attempt after one that dies before its forward copy would take it for a collision."""
    (reference,) = theirs(world, 1)
    world.write(reference)
    taken = of(world, OURS, 1, background=Paused())
    assert taken.restore() == {"model": "theirs 1"}
    assert world.latest().target.checkpoint.startswith(world.node(0).root.ref(world.home_of(1)))
    assert of(world, OURS, 2).restore() == {"model": "theirs 1"}
    assert world.is_whole(reference)
