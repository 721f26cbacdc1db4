"""Which checkpoints stay."""

from __future__ import annotations

import pytest

from ckptptr.errors import InvalidArgumentError
from ckptptr.protocol.pointer import Target
from ckptptr.protocol.retention import HISTORY_LIMIT, Retention
from tests.helpers import World


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
