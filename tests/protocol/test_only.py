"""`restore(only=)`: some files of a checkpoint."""

from __future__ import annotations

import pytest

from ckptptr.errors import InvalidArgumentError, NotFoundError
from tests.helpers import World, read_folder

FILES = {"shards/0": "zero", "shards/1": "one", "config.json": "{}"}


def restored(world: World, only: str | list[str], **options: object) -> dict[str, str]:
    folder = world.process(1).checkpoints.restore(world.new_folder(), only=only, **options)  # type: ignore[arg-type]
    assert folder is not None
    return read_folder(folder)


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("shards/0", {"shards/0"}),
        (["shards/1", "*.json"], {"shards/1", "config.json"}),
        ("shards/", {"shards/0", "shards/1"}),
        (["*", "!shards/0"], {"shards/1", "config.json"}),
    ],
)
def test_only_what_the_patterns_match_is_fetched(
    world: World, only: str | list[str], expected: set[str]
) -> None:
    saved = world.process(0).save(FILES, step=1)
    assert restored(world, only) == {path: FILES[path] for path in expected}
    assert restored(world, only, checkpoint=saved.reference) == {path: FILES[path] for path in expected}
    assert restored(world, only, step=1) == {path: FILES[path] for path in expected}


def test_what_is_not_fetched_must_be_there(world: World) -> None:
    world.process(0).save(FILES, step=1)
    newer = world.process(0).save({**FILES, "shards/0": "newer", "shards/1": "new"}, step=2)
    (gone,) = [key for key in world.objects_of(newer.reference) if key.endswith("shards/1")]
    world.store.delete([gone])
    assert restored(world, "shards/0") == {"shards/0": "zero"}


def test_what_was_not_fetched_stays_in_the_content(world: World) -> None:
    world.process(0).save(FILES, step=1)
    run = world.process(1)
    run.checkpoints.restore(world.new_folder(), only="shards/0")
    run.save_file("more", "more", step=2)
    assert world.process(2).restore() == {**FILES, "more": "more"}


def test_of_a_plain_folder_too_and_nothing_builds_on_the_rest(world: World) -> None:
    for path, text in FILES.items():
        world.store.create(f"{world.home_of(0)}/{path}", text.encode())
    run = world.process(1)
    folder = run.checkpoints.restore(world.new_folder(), only="config.json")
    assert folder is not None
    assert read_folder(folder) == {"config.json": "{}"}
    run.save_file("more", "more", step=2)
    assert world.process(2).restore() == {"more": "more"}


def test_where_nothing_matches_the_error_says_what_there_is(world: World) -> None:
    world.process(0).save(FILES, step=1)
    with pytest.raises(NotFoundError, match=r"no file of the checkpoint matches.*config\.json, shards/0"):
        restored(world, "shards/7")


def test_a_pattern_that_is_none_is_refused(world: World) -> None:
    with pytest.raises(InvalidArgumentError, match="only"):
        restored(world, [1])  # type: ignore[list-item]
