"""Which checkpoints stay."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ckptptr.errors import InvalidArgumentError
from ckptptr.protocol.pointer import Target
from ckptptr.protocol.retention import HISTORY_LIMIT, Retention
from tests.helpers import Paused, World


def targets(*steps: int, **pinned_or_scores: object) -> list[Target]:
    """Newest publish first."""
    return [Target(checkpoint=str(step), step=step, **pinned_or_scores) for step in steps]  # type: ignore[arg-type]


def kept(retention: Retention, named: list[Target]) -> list[int | None]:
    stays, goes = retention.split(named)
    assert sorted([*stays, *goes], key=named.index) == named
    return [target.step for target in stays]


def test_the_last_three_stay_by_default() -> None:
    assert kept(Retention(), targets(5, 4, 3, 2, 1)) == [5, 4, 3]


def test_last_means_publish_order_and_not_step() -> None:
    assert kept(Retention(keep_last=2), targets(1, 9, 8)) == [1, 9]


def test_every_so_many_steps_one_stays() -> None:
    assert kept(Retention(keep_last=1, keep_every=10), targets(25, 20, 15, 10, 5, 0)) == [25, 20, 10, 0]


def test_a_checkpoint_without_a_step_is_on_no_step() -> None:
    named = [*targets(3), Target(checkpoint="x")]
    assert kept(Retention(keep_last=1, keep_every=1), named) == [3]


@pytest.mark.parametrize(("lower_is_better", "expected"), [(True, [4, 2]), (False, [4, 3])])
def test_the_best_stay(lower_is_better: bool, expected: list[int]) -> None:
    retention = Retention(keep_last=1, keep_best=1, best_by="loss", lower_is_better=lower_is_better)
    named = [
        Target(checkpoint=str(step), step=step, score=score)
        for step, score in ((4, 0.5), (3, 0.9), (2, 0.1), (1, None))
    ]
    assert kept(retention, named) == expected


def test_what_is_pinned_stays_whatever_the_policy() -> None:
    named = [*targets(5, 4), *targets(3, pinned=True), *targets(2, 1)]
    assert kept(Retention(keep_last=1), named) == [5, 3]


def test_what_is_pinned_counts_as_one_of_the_last() -> None:
    assert kept(Retention(keep_last=2), [*targets(5), *targets(4, pinned=True), *targets(3)]) == [5, 4]


def test_the_history_is_bounded_but_for_the_pinned() -> None:
    named = [*targets(*range(2000, 0, -1)), *targets(0, pinned=True)]
    stays = kept(Retention(keep_last=1000), named)
    assert len(stays) == HISTORY_LIMIT + 1
    assert stays[-1] == 0


def test_nor_do_the_pinned_count_against_the_bound() -> None:
    named = [*targets(*range(1000, 2, -1), pinned=True), *targets(2, 1)]
    assert kept(Retention(keep_last=1, keep_every=1), named)[-2:] == [2, 1]


@pytest.mark.parametrize(
    ("metadata", "score"),
    [({"loss": 1}, 1.0), ({"loss": 0.5}, 0.5), ({"loss": "low"}, None), ({"loss": None}, None), ({}, None)],
)
def test_the_score_is_a_number_of_the_metadata_or_none(metadata: dict[str, object], score: float) -> None:
    assert Retention(keep_best=1, best_by="loss").score(metadata) == score
    assert Retention().score(metadata) is None


@pytest.mark.parametrize("settings", [{"keep_last": 0}, {"keep_every": 0}, {"keep_best": 2}])
def test_a_policy_that_makes_no_sense_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(InvalidArgumentError):
        Retention(**settings)  # type: ignore[arg-type]


def test_it_counts_across_attempts(world: World) -> None:
    for attempt in range(5):
        world.process(attempt).save({"model": str(attempt)}, step=attempt)
    assert world.steps() == [4, 3, 2]


def test_what_a_run_resumed_from_stays_until_its_own_first_publish(world: World) -> None:
    keep_one = Retention(keep_last=1)
    world.process(0, retention=keep_one).save({"model": "1"}, step=1)
    for attempt in (1, 2, 3):
        assert world.process(attempt, retention=keep_one).restore() == {"model": "1"}
    run = world.process(4, retention=keep_one)
    run.restore()
    run.save({"model": "2"}, step=2)
    assert world.steps() == [2]


def test_the_best_and_every_tenth_survive_a_long_run_whole(world: World) -> None:
    retention = Retention(keep_last=2, keep_every=10, keep_best=2, best_by="loss")
    run = world.process(0, retention=retention)
    for step in range(1, 31):
        run.save({"model": str(step), "frozen": "same"}, step=step, loss=abs(step - 12.8))
    assert world.steps() == [30, 29, 20, 13, 12, 10]
    assert all(world.is_whole(name) for name in world.named())
    assert len(world.find("frozen")) == 1


def looks_at_manifests(requests: list[str]) -> int:
    return sum(request.startswith("read manifests") for request in requests)


BEST = Retention(keep_last=1, keep_best=1, best_by="loss")


@pytest.mark.parametrize(
    "lose",
    [
        World.delete_latest,
        lambda world: world.write("{ damaged"),
        lambda world: world.edit(note="hello"),
        lambda world: world.write(world.latest().target.checkpoint),
        lambda world: world.edit(history=[]),
    ],
    ids=["deleted", "damaged", "edited", "one line", "history cut"],
)
@pytest.mark.parametrize("restores", [True, False], ids=["restored first", "saved at once"])
def test_the_best_stays_when_latest_is_lost(
    world: World, lose: Callable[[World], None], restores: bool
) -> None:
    before = world.process(0, retention=BEST)
    best = before.save({"model": "best"}, step=1, loss=0.1)
    before.save({"model": "worse"}, step=2, loss=0.5)
    lose(world)
    after = world.process(1, retention=BEST)
    if restores:
        after.restore()
    for step in range(3, 8):
        after.save({"model": str(step)}, step=step, loss=0.9)
    if restores or not world.latest().held:
        assert world.steps() == [7, 1]
    assert world.content(best.reference) == {"model": "best"}


def test_the_best_stays_after_a_person_moved_latest_where_it_was_lost(world: World) -> None:
    run = world.process(0, retention=BEST)
    best = run.save({"model": "best"}, step=1, loss=0.1)
    last = run.save({"model": "last"}, step=2, loss=0.5)
    world.delete_latest()
    world.person().use(last.reference)  # a person knows no retention
    after = world.process(1, retention=BEST)
    after.restore()
    for step in range(3, 8):
        after.save({"model": str(step)}, step=step, loss=0.9)
    assert world.steps() == [7, 1]
    assert world.content(best.reference) == {"model": "best"}


def test_a_metric_that_is_new_in_the_policy_ranks_what_was_saved_before(world: World) -> None:
    first = world.process(0)
    first.save({"model": "best"}, step=1, loss=0.1)
    first.save({"model": "worse"}, step=2, loss=0.5)
    after = world.process(1, retention=BEST)
    after.restore()
    for step in range(3, 8):
        after.save({"model": str(step)}, step=step, loss=0.9)
    assert world.steps() == [7, 1]


def test_a_manifest_is_read_for_its_score_once_and_only_where_latest_has_none(world: World) -> None:
    run = world.process(0, retention=BEST, background=Paused())
    for step, metadata in enumerate([{"loss": 0.1}, {}, {"loss": 0.5}, {}, {}]):
        with run.requests() as requests:
            run.save({"model": str(step)}, step=step, **metadata)
        assert not step or not looks_at_manifests(requests)
    again = world.process(1, retention=BEST, background=Paused())
    again.restore()
    for step, reads in ((5, 1), (6, 0)):  # what the first run saved last has no loss
        with again.requests() as requests:
            again.save({"model": str(step)}, step=step)
        assert looks_at_manifests(requests) == reads
    assert world.steps() == [6, 0]


def test_what_is_chosen_keeps_its_pin_although_latest_had_lost_it(world: World) -> None:
    run = world.process(0, retention=Retention(keep_last=1))
    pinned = run.save({"model": "1"}, step=1)
    run.checkpoints.pin(pinned.reference)
    run.save({"model": "2"}, step=2)
    world.write(json.dumps({"checkpoint": world.named()[0], "history": [], "doomed": []}))
    world.person().release()
    world.person().use(pinned.reference)
    assert world.latest().target.pinned
