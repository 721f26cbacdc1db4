"""Where a node begins that has nothing of its own: the first origin that has something good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ckptptr.errors import NotFoundError, StoreUnavailableError
from ckptptr.protocol.manifest import Lineage
from ckptptr.protocol.node import Origin
from ckptptr.testing import Fault
from tests.helpers import FLYTE, Paused, Process, World

MINE = Lineage(execution="e", node="n0/1/dn0", task="t")
BEFORE = Lineage(execution="e", node="n0/0/dn0", task="t", version="v1")

Make = Callable[..., World]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, FLYTE)


@pytest.fixture
def other(world: World) -> Make:
    """Makes another node of the same bucket, in which these steps were saved."""

    def make(name: str, *steps: int, lineage: Lineage | None = None) -> World:
        there = World(world._scratch, FLYTE.replace("execution", name), beside=world)
        run = Process(there, there.node(0, lineage=lineage or Lineage()))
        for step in steps:
            run.save({"model": f"{name} {step}"}, step=step)
        return there

    return make


def origin(there: World, **settings: Any) -> Origin:
    homes, name = (there.home_of(0),), there.key.split("/")[5]
    return Origin(what=f"node {name}", homes=lambda *_: homes, prefix=there.key, **settings)


def beginning(world: World, *origins: Origin, attempt: int = 0, **settings: Any) -> Process:
    node = world.node(attempt, origins=origins, lineage=MINE)
    return Process(world, node, **settings)


def test_the_first_that_has_something_is_taken(world: World, other: Make) -> None:
    run = beginning(world, origin(other("empty")), origin(other("one", 1)), origin(other("two", 2)))
    assert run.restore() == {"model": "one 1"}
    assert "found in node one" in str(run.resolution)


def test_anything_of_ones_own_comes_first_what_retention_let_go_included(world: World, other: Make) -> None:
    own = Process(world, world.node(0, lineage=MINE))
    reference = own.save({"model": "own"}).reference
    world.write('{"checkpoint": "gone/model", "doomed": ["' + reference + '"]}')
    run = beginning(world, origin(other("one", 1)), attempt=1)
    assert run.restore() == {"model": "own"}


def test_the_next_attempt_needs_no_origin_any_more(world: World, other: Make) -> None:
    there = other("one", 1)
    assert beginning(world, origin(there)).restore() == {"model": "one 1"}
    there.store.delete(there.find(f"^{there.home_of(0)}/"))
    assert world.process(1).restore() == {"model": "one 1"}


def test_a_fresh_start_wanted_in_one_ends_the_search(world: World, other: Make) -> None:
    wanted = other("forgotten", 1)
    wanted.write("none")
    required = replace(origin(other("two", 2)), is_required=True)
    assert beginning(world, origin(wanted), required).restore() is None


def test_one_that_does_not_answer_is_not_passed_over(world: World, other: Make) -> None:
    silent, good = other("one", 1), other("two", 2)
    run = beginning(world, origin(silent), origin(good), faults=(Fault(op="read", key="one", times=99),))
    with pytest.raises(StoreUnavailableError):
        run.restore()


def test_what_was_named_may_even_be_another_node_of_the_same_execution(world: World, other: Make) -> None:
    there = other("one", 1, lineage=Lineage(execution="e", node="n7", task="x"))
    assert beginning(world, origin(there)).restore() == {"model": "one 1"}


def test_with_all_of_it_damaged_what_it_had_begun_from_is_taken(world: World, other: Make) -> None:
    first = other("first", 1)
    second = other("second")
    run = beginning(second, origin(first))
    run.restore()
    run.save({"model": "second 2"})
    for key in second.find(f"^{second.home_of(0)}/data"):
        world.store.upload(key, [b"damaged"])
    second.delete_latest()
    assert beginning(world, origin(second)).restore() == {"model": "first 1"}


class TestRequired:
    def test_nothing_there_is_an_error_that_names_it(self, world: World, other: Make) -> None:
        run = beginning(world, replace(origin(other("empty")), is_required=True))
        with pytest.raises(NotFoundError, match=r"restored in node empty.*take it away"):
            run.restore()
        assert world.find("LATEST") == []

    def test_it_is_not_looked_at_while_anything_else_is_there(self, world: World, other: Make) -> None:
        run = beginning(world, origin(other("one", 1)), replace(origin(other("empty")), is_required=True))
        assert run.restore() == {"model": "one 1"}

    def test_where_a_sibling_has_saved_meanwhile_that_is_taken_and_no_error(
        self, world: World, other: Make
    ) -> None:
        empty = replace(origin(other("empty")), homes=lambda *_: (), is_required=True)
        run = beginning(world, empty)
        run.before("read", "empty/n0/LATEST", lambda: world.process(0).save({"model": "sibling"}))
        assert run.restore() == {"model": "sibling"}


class TestLineage:
    """Found by arithmetic: it must be the same work, under the name that it had then."""

    def test_what_is_of_the_node_meant_is_taken(self, world: World, other: Make) -> None:
        run = beginning(world, origin(other("one", 1, lineage=BEFORE), lineage=BEFORE))
        assert run.restore() == {"model": "one 1"}

    @pytest.mark.parametrize(
        ("recorded", "reason"),
        [
            (Lineage(execution="e", node="n0/0/dn7", task="t", version="v1"), "belongs to node"),
            (Lineage(execution="e", node="n0/0/dn0", task="other", version="v1"), "belongs to task"),
            (
                Lineage(execution="e", node="n0/0/dn0", task="t", version="v2"),
                "belongs to task t, version v2",
            ),
            (Lineage(execution="e", node="n0/0/dn0", task="t"), "version unknown"),
        ],
    )
    @pytest.mark.parametrize("latest", ["there", "gone"])
    def test_what_is_not_is_passed_over(
        self, world: World, other: Make, recorded: Lineage, reason: str, latest: str
    ) -> None:
        there = other("one", 1, lineage=recorded)
        if latest == "gone":
            there.delete_latest()
        run = beginning(world, origin(there, lineage=BEFORE))
        assert run.restore() is None
        assert reason in str(run.resolution)

    def test_an_attempt_that_dies_before_it_has_copied_leaves_it_to_the_next(
        self, world: World, other: Make
    ) -> None:
        there = origin(other("one", 1, lineage=BEFORE), lineage=BEFORE)
        assert beginning(world, there, background=Paused()).restore() == {"model": "one 1"}
        again = beginning(world, there, attempt=1)
        assert again.restore() == {"model": "one 1"}
        assert "was not taken" not in str(again.resolution)
        assert beginning(world, attempt=2).restore() == {"model": "one 1"}

    def test_a_plain_folder_says_neither_task_nor_version(self, world: World, other: Make) -> None:
        there = other("one")
        world.store.create(f"{there.home_of(0)}/model", b"plain")
        assert beginning(world, origin(there, lineage=BEFORE)).restore() is None
        without = Lineage(execution="e", node="n0/0/dn0", task="t")
        assert beginning(world, origin(there, lineage=without)).restore() == {"model": "plain"}

    def test_a_hold_there_counts(self, world: World, other: Make) -> None:
        there = other("one", 1, 2, lineage=BEFORE)
        there.write(there.named()[1])
        assert beginning(world, origin(there, lineage=BEFORE)).restore() == {"model": "one 1"}


def test_another_version_of_the_task_is_still_the_same_work_within_a_node(world: World) -> None:
    Process(world, world.node(0, lineage=BEFORE)).save({"model": "v1"})
    newer = Lineage(execution="e", node="n0/0/dn0", task="t", version="v2")
    world.delete_latest()
    assert Process(world, world.node(1, lineage=newer)).restore() == {"model": "v1"}
