"""Keys of LATEST that a later minor version added survive whatever this version does to LATEST."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckptptr.protocol.retention import Retention
from ckptptr.protocol.sealed import seal
from ckptptr.protocol.sweep import sweep_by_hand
from tests.formats.strategies import KNOWN, modest, unknown_keys
from tests.helpers import World
from tests.sampling import sampled

LATER = "ckptptr/1.7"

Said = dict[str, dict[str, Any]]
"""What a later version says: of LATEST under "", of each checkpoint that it names under its reference."""


def rewritten(world: World, top: dict[str, Any], of_each: list[dict[str, Any]]) -> Said:
    """LATEST as a later minor version would have written it."""
    document = json.loads(world.store.read(world.latest_key)[0])
    entries = document["history"]
    said = {document["checkpoint"]: of_each[0]} | {
        entry["checkpoint"]: more for entry, more in zip(entries, of_each[1:], strict=False)
    }
    document["history"] = [{**entry, **said[entry["checkpoint"]]} for entry in entries]
    document |= {**top, "format": LATER, **({"target": of_each[0]} if of_each[0] else {})}
    world.write(json.dumps(seal(document)))
    return {"": top, **said}


def read_by_the_later_version(world: World) -> Said:
    document = json.loads(world.store.read(world.latest_key)[0])
    assert document["format"] == LATER
    assert seal(document) == document  # a machine wrote it
    of_each = {entry["checkpoint"]: unknown(entry) for entry in document["history"]}
    return {"": unknown(document), document["checkpoint"]: document.get("target", {}), **of_each}


def unknown(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in KNOWN}


def source_of(world: World, name: str) -> str:
    """A forward copy takes the place of its source."""
    return world.manifest(name).copied_from or name if name != "none" else name


def publish(world: World) -> None:
    world.process(3).save({"model": "new"}, step=9)


def restore(world: World) -> None:
    world.process(2).restore()  # adopts a choice, and copies it forward


def rebuild_the_target(world: World) -> None:
    world.store.delete([world.key_of(world.named()[0])])
    world.process(2).restore()


def use(world: World) -> None:
    world.person().use(world.named()[-1], note="for the paper")


def start_from_scratch(world: World) -> None:
    world.person().use("none")


def roll_back(world: World) -> None:
    world.person().rollback()


def release(world: World) -> None:
    world.person().release(world.named()[0])


def drop(world: World) -> None:
    world.person().drop([world.named()[-1]])


def pin(world: World) -> None:
    world.person().pin(world.named()[-1])


def unpin(world: World) -> None:
    world.person().unpin(world.named()[-1])


def sweep(world: World) -> None:
    person = world.person()
    expired = world.latest().expired
    sweep_by_hand(world.store, person.node, person.latest, [*expired, *world.committed()])


STORIES: list[list[Callable[[World], None]]] = [
    [publish],
    [publish, publish, publish],
    [publish, sweep],
    [use],
    [use, restore, publish],
    [use, release],
    [start_from_scratch, publish],
    [roll_back, publish],
    [drop],
    [pin, publish, publish, unpin],
    [rebuild_the_target, publish],
]


@pytest.mark.parametrize("story", sampled(STORIES), ids=lambda story: "-".join(act.__name__ for act in story))
@settings(modest, max_examples=min(20, modest.max_examples))
@given(top=unknown_keys, of_each=st.lists(unknown_keys, min_size=3, max_size=3))
def test_keys_that_this_version_does_not_know_survive_at_every_level(
    story: list[Callable[[World], None]], top: dict[str, Any], of_each: list[dict[str, Any]]
) -> None:
    scratch = Path(tempfile.mkdtemp())
    try:
        world = World(scratch)
        run = world.process(0, retention=Retention(keep_last=3))
        for step in range(5):
            run.save({"model": str(step)}, step=step)
        said = rewritten(world, top, of_each)
        for act in story:
            act(world)
            now = read_by_the_later_version(world)
            assert now == {"": top} | {name: said.get(source_of(world, name), {}) for name in now if name}
    finally:
        shutil.rmtree(scratch)


def test_a_newer_target_key_goes_to_the_history_with_the_target_and_comes_back(tmp_path: Path) -> None:
    world = World(tmp_path)
    run = world.process(0)
    for step in (1, 2):
        run.save({"model": str(step)}, step=step)
    rewritten(world, {}, [{"mood": "fine"}, {}])
    world.process(1).save({"model": "3"}, step=3)
    document = json.loads(world.store.read(world.latest_key)[0])
    assert "target" not in document
    assert [entry.get("mood") for entry in document["history"]] == ["fine", None]
    world.person().rollback()
    document = json.loads(world.store.read(world.latest_key)[0])
    assert document["target"] == {"mood": "fine"}
    assert [entry.get("mood") for entry in document["history"]] == [None, None]


def test_after_an_edit_of_the_target_only_what_was_said_of_that_target_is_gone(tmp_path: Path) -> None:
    world = World(tmp_path)
    run = world.process(0)
    for step in (1, 2, 3):
        run.save({"model": str(step)}, step=step)
    said = rewritten(world, {"mood": "fine"}, [{"place": 1}, {"place": 2}, {"place": 3}])
    target, chosen, oldest = world.named()
    world.edit(checkpoint=chosen)
    world.process(1).restore()
    copied, *_ = world.named()
    expected = {"": said[""], copied: said[chosen], target: {}, oldest: said[oldest]}
    assert read_by_the_later_version(world) == expected


def test_latest_is_rebuilt_in_our_own_format(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.process(0).save({"model": "1"})
    rewritten(world, {"mood": "fine"}, [{}])
    world.delete_latest()
    world.process(1).save({"model": "2"})
    assert json.loads(world.store.read(world.latest_key)[0])["format"] == "ckptptr/1"
