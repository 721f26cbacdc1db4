"""A seed: whatever a person may name, while a run has nothing of its own; a wrong one is never silent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.errors import InvalidArgumentError, NotFoundError
from ckptptr.nodes.seed import seed_of
from ckptptr.testing import Fault
from tests.helpers import FLYTE, PLAIN, Process, World

EARLIER = FLYTE.replace("execution", "earlier")
ELSEWHERE = ["bucket/old", "elsewhere/old", EARLIER, EARLIER.replace("bucket", "other")]


@pytest.fixture(params=ELSEWHERE, ids=["bucket", "other bucket", "flyte", "flyte, other bucket"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """The run that is the seed: attempt 0 saved steps 1 and 2, attempt 1 died, attempt 2 saved 3."""
    world = World(tmp_path, request.param)
    for attempt, steps in ((0, (1, 2)), (2, (3,))):
        run = world.process(attempt)
        for step in steps:
            run.save({"model": f"step {step}"}, step=step)
    return world


@pytest.fixture
def world(tmp_path: Path, old: World) -> World:
    return World(tmp_path, PLAIN, beside=old)


def seeded(world: World, text: str, attempt: int = 0, **settings: Any) -> Process:
    node = world.node(attempt)
    return Process(world, replace(node, origins=seed_of(world.store, node.root, text)), **settings)


def url(world: World, key: str) -> str:
    return world.store.url(key)


FORMS: dict[str, Callable[[World], str]] = {
    "node prefix": lambda old: url(old, old.key),
    "its LATEST": lambda old: url(old, f"{old.key}/LATEST"),
    "manifest": lambda old: url(old, old.key_of(old.named()[0])),
    "home": lambda old: url(old, old.home_of(2)) + "/",
}


@pytest.mark.parametrize("form", FORMS)
def test_whatever_form_it_is_named_in_it_is_what_an_empty_run_begins_from(
    world: World, old: World, form: str
) -> None:
    run = seeded(world, FORMS[form](old))
    assert run.restore() == {"model": "step 3"}
    assert "found in the seed" in str(run.resolution)
    assert run.resolution.verdict is ckptptr.Verdict.ORIGIN


def test_it_is_the_parent_of_what_is_saved_then(world: World, old: World) -> None:
    run = seeded(world, url(old, old.key))
    run.restore()
    saved = run.save({"model": "step 4"}, step=4)
    parent = world.manifest(saved.reference).parent
    assert parent is not None
    assert parent.endswith(old.named()[0].rpartition("/")[2])


def test_later_attempts_need_neither_the_seed_nor_its_place(world: World, old: World) -> None:
    seeded(world, url(old, old.key)).restore()
    old.store.delete([entry.key for entry in old.store.list(old.home_of(2))])
    assert world.process(1).restore() == {"model": "step 3"}


def test_it_is_not_even_looked_at_where_the_run_has_something_of_its_own(world: World, old: World) -> None:
    world.process(0).save({"model": "own"})
    run = seeded(world, url(old, old.key), 1)
    with run.requests() as requests:
        assert run.restore() == {"model": "own"}
    assert not any("old" in request or "earlier" in request for request in requests)


def test_without_its_latest_its_homes_are_walked_back(world: World, old: World) -> None:
    old.delete_latest()
    assert seeded(world, url(old, old.key)).restore() == {"model": "step 3"}


def test_a_copy_from_another_bucket_that_fails_leaves_the_seed_to_the_next_attempt(
    world: World, old: World
) -> None:
    assert seeded(world, url(old, old.key), faults=(Fault(op="copy", times=99),)).restore() is not None
    assert seeded(world, url(old, old.key), 1).restore() == {"model": "step 3"}
    assert world.process(2).restore() == {"model": "step 3"}


@pytest.mark.parametrize("text", ["", "  ", "none", "None"])
def test_no_seed_is_a_fresh_start(world: World, text: str) -> None:
    assert seeded(world, text).restore() is None


def test_a_person_who_asked_for_a_fresh_start_gets_it_here_and_there(world: World, old: World) -> None:
    old.write("none")
    assert seeded(world, url(old, old.key)).restore() is None
    world.write("none")
    assert seeded(world, "memory://bucket/nothing").restore() is None


@pytest.mark.parametrize(
    ("text", "error", "reason"),
    [
        (
            "memory://bucket/nothing",
            NotFoundError,
            "no checkpoint that can be restored in the seed memory://",
        ),
        ("nothing", NotFoundError, "restored in the seed nothing"),
        (
            "s3://bucket/old",
            InvalidArgumentError,
            "cannot be used: .*another kind of store",
        ),
        ("0000000017-a0003-k9x2abqz", InvalidArgumentError, "a seed is a place, and no id"),
        ("memory://bucket/../old", InvalidArgumentError, "not a plain path"),
    ],
)
def test_what_cannot_be_had_is_an_error_and_nothing_is_written(
    world: World, text: str, error: type[Exception], reason: str
) -> None:
    before = world.find("")
    run = seeded(world, text)
    with pytest.raises(error, match=reason):
        run.restore()
    assert world.find("") == before


def test_a_damaged_one_is_an_error_too(world: World, old: World) -> None:
    manifest = old.key_of(old.named()[0])
    old.store.upload(manifest, [b"damaged"])
    with pytest.raises(NotFoundError, match="the seed"):
        seeded(world, url(old, manifest)).restore()


def test_a_run_that_has_only_claimed_its_attempt_is_no_folder_of_files(world: World) -> None:
    world.store.create("bucket/claimed/claims/0000", b"{}")
    with pytest.raises(NotFoundError, match="the seed"):
        seeded(world, "memory://bucket/claimed").restore()


def test_a_run_on_a_disk_is_seeded_from_a_folder_of_files_anywhere_on_it(tmp_path: Path) -> None:
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama/model.pt").write_bytes(b"llama")
    for attempt in (0, 1):
        with ckptptr.open(f"{tmp_path}/run", attempt=attempt, seed=f"{tmp_path}/llama") as checkpoints:
            folder = checkpoints.restore()
            assert folder is not None
            assert (folder / "model.pt").read_bytes() == b"llama"
        (tmp_path / "llama/model.pt").unlink(missing_ok=True)  # it has been copied


def test_a_path_that_is_not_absolute_is_relative_to_the_root(world: World) -> None:
    world.store.create("bucket/run/start/model", b"start")
    assert seeded(world, "start").restore() == {"model": "start"}
