"""Forward copy: what was adopted from another home comes to our own, behind the caller's back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ckptptr.errors import SupersededError
from ckptptr.protocol.node import Origin
from ckptptr.testing import Fault
from tests.helpers import Paused, Process, World


def walked_back(world: World, *faults: Fault, **settings: object) -> Process:
    """Attempt 1 has restored what attempt 0 saved and LATEST had lost; its forward copy waits."""
    first = world.process(0)
    first.save({"model": "1", "deep/opt": "2"}, step=7, loss=0.5)
    world.delete_latest()
    run = world.process(1, *faults, background=Paused(), **settings)
    assert run.restore() == {"model": "1", "deep/opt": "2"}
    return run


def test_the_copy_takes_the_place_of_its_source_and_keeps_seq_step_and_metadata(world: World) -> None:
    run = walked_back(world)
    source = world.latest().target
    run.background.catch_up()
    copy = world.latest().target
    assert copy.checkpoint.startswith(world.node(0).root.ref(world.home_of(1)))
    assert (copy.seq, copy.step, copy.published_at) == (source.seq, 7, source.published_at)
    assert world.manifest(copy.checkpoint).copied_from == source.checkpoint
    assert world.manifest(copy.checkpoint).metadata == {"loss": 0.5}
    assert world.content(copy.checkpoint) == {"model": "1", "deep/opt": "2"}
    assert world.latest().history == ()


def test_no_byte_passes_through_the_process(world: World) -> None:
    run = walked_back(world)
    with run.requests() as requests:
        run.background.catch_up()
    assert {request.split()[0] for request in requests} == {"copy", "create", "read", "replace"}


def test_the_old_home_may_expire_afterwards(world: World) -> None:
    walked_back(world).background.catch_up()
    world.store.delete(world.find(world.home_of(0)))
    world.delete_latest()
    alone = Process(world, world.node(2, homes_of=lambda _: (), previous=world.home_of(1)))
    assert alone.restore() == {"model": "1", "deep/opt": "2"}


def test_what_was_simply_followed_is_not_copied(world: World) -> None:
    world.process(0).save({"model": "1"})
    run = world.process(1, background=Paused())
    run.restore()
    assert run.background.waiting == []


def test_what_is_adopted_from_our_own_home_is_not_copied(world: World) -> None:
    first = world.process(0)
    first.save({"model": "1"})
    first.save({"model": "2"})
    world.person().use(world.named()[1])
    again = world.process(0, background=Paused())
    again.restore()
    assert again.background.waiting == []


def test_a_plain_folder_becomes_a_checkpoint_with_digests(world: World) -> None:
    world.store.upload(f"{world.home_of(0)}/model", [b"stock"])
    run = world.process(1)
    assert run.restore() == {"model": "stock"}
    (record,) = world.manifest(world.named()[0]).files
    assert len(record.xxh3_128) == 32
    assert world.process(2).restore() == {"model": "stock"}
    assert world.store.read(f"{world.home_of(0)}/model")[0] == b"stock"


@pytest.mark.parametrize("op", ["copy", "create", "replace"])
def test_a_copy_that_fails_leaves_latest_on_the_source_and_the_run_goes_on(world: World, op: str) -> None:
    run = walked_back(world, Fault(op=op, nth=1 if op == "copy" else 2, times=100))  # type: ignore[arg-type]
    source = world.named()
    if op == "replace":
        run.fail(Fault(op="replace", times=100))
    run.background.catch_up()
    assert len(run.background.failures) == 1
    assert world.named() == source
    run.fail()
    run.save_file("model", "2")
    assert world.process(2).restore() == {"model": "2", "deep/opt": "2"}


def test_a_source_that_is_gone_meanwhile_is_a_warning(world: World) -> None:
    run = walked_back(world)
    world.store.delete(world.find("deep/opt"))
    run.background.catch_up()
    assert len(run.background.failures) == 1
    assert len(world.find("manifests/")) == 1


def test_a_pinned_source_stays_named_beside_its_copy(world: World) -> None:
    run = walked_back(world)
    source = world.named()[0]
    world.person().pin(source)
    run.background.catch_up()
    assert world.named()[1:] == [source]
    assert [target.pinned for target in world.latest().retained] == [False, True]


def test_a_person_who_chooses_while_the_copy_is_made_keeps_the_choice(world: World) -> None:
    first = world.process(0)
    first.save({"model": "1"}, step=1)
    first.save({"model": "2"}, step=2)
    world.delete_latest()
    run = world.process(1, background=Paused())
    run.restore()
    chosen = world.named()[1]
    run.before("replace", "LATEST", lambda: world.person().use(chosen))
    run.background.catch_up()
    assert world.named()[0] == chosen
    assert world.latest().held


def test_a_person_who_holds_the_very_source_keeps_the_hold(world: World) -> None:
    run = walked_back(world)
    world.person().use(world.named()[0])
    held = world.store.read(world.latest_key)
    run.background.catch_up()
    assert world.store.read(world.latest_key) == held


def test_a_newer_attempt_that_has_taken_over_is_left_alone(world: World) -> None:
    run = walked_back(world)
    world.edit(note="held for a moment")
    world.process(2, background=Paused()).restore()
    fenced = world.store.read(world.latest_key)
    run.background.catch_up()
    assert world.store.read(world.latest_key) == fenced


def test_also_where_an_edit_hides_that_it_has(world: World) -> None:
    run = walked_back(world)
    source = world.named()[0]
    world.edit(note="held for a moment")
    world.process(2, background=Paused()).restore()
    run.checkpoints.look()
    world.write(source)
    world.person().release()
    run.background.catch_up()
    assert world.named() == [source]


def test_a_save_right_after_the_copy_refers_to_the_copied_objects(world: World) -> None:
    run = walked_back(world)
    run.background.catch_up()
    with run.requests() as requests:
        run.save_file("model", "2", step=8)
    assert [request.split()[0] for request in requests] == ["list", "upload", "create", "replace"]
    assert world.process(2).restore() == {"model": "2", "deep/opt": "2"}


def test_the_source_of_a_copy_is_swept_in_the_end(world: World) -> None:
    run = walked_back(world)
    run.background.catch_up()
    for step in range(8, 16):
        run.save({"model": str(step)}, step=step)
        run.background.catch_up()
    assert not world.find(f"{world.home_of(0)}/")
    assert world.strays() == [] or all(world.home_of(1) in key for key in world.strays())


def test_a_copy_that_a_person_has_dropped_is_not_named(world: World) -> None:
    run = walked_back(world)
    source = world.latest().target.checkpoint

    def drop() -> None:
        (copy,) = (name for name in world.committed() if name != source)
        world.person().drop([world.person().droppable(copy)])

    run.after("create", "manifests", drop)
    run.background.catch_up()
    assert world.named() == [source]
    assert not {*world.named()} & {*world.latest().expired}


def test_a_copy_brings_back_the_fence_that_a_hand_edit_has_lost(world: World) -> None:
    old = world.process(0)
    old.save({"model": "1"}, step=1)
    source = world.named()[0]
    middle, run = world.process(1, background=Paused()), world.process(2, background=Paused())
    world.person().use(source)
    run.restore()
    world.write("no/such/checkpoint")
    middle.restore()  # nothing tells it of attempt 2, which has saved nothing
    assert (world.latest().fence, world.named()) == (1, [source])
    run.background.catch_up()
    assert world.latest().fence == 2
    with pytest.raises(SupersededError):
        middle.save({"model": "2"}, step=2)


@pytest.mark.parametrize("is_strict", [False, True], ids=["another bucket", "strict"])
def test_what_later_attempts_would_not_take_is_copied_before_latest_names_it(
    tmp_path: Path, is_strict: bool
) -> None:
    old = World(tmp_path, "bucket/old" if is_strict else "elsewhere/old")
    old.process(0).save({"model": "1"}, step=1)
    world = World(tmp_path, beside=old)
    homes = (old.home_of(0),)
    origin = Origin(what="another", homes=lambda *_: homes, prefix=old.key, root=old.node(0).root)
    root = replace(world.node(0).root, strict=is_strict)
    run = Process(world, world.node(0, origins=(origin,), root=root))
    run.before("create", "LATEST", lambda: seen.append(world.find("manifests")))
    seen: list[list[str]] = []
    assert run.restore() == {"model": "1"}
    assert any(key.startswith(world.home_of(0)) for key in seen[0])
    assert Process(world, world.node(1, root=root)).restore() == {"model": "1"}
    (copied,) = world.named()
    assert old.named()[0] in (world.manifest(copied).copied_from or "")


def test_a_copy_that_was_dropped_before_it_is_adopted_is_made_again(world: World) -> None:
    world.process(0).save({"model": "1"}, step=1)
    (source,) = world.named()
    world.edit(checkpoint=source, doomed=[source])
    run = world.process(1, background=Paused())

    def drop() -> None:
        (copy,) = (name for name in world.committed() if name != source)
        world.edit(doomed=[source, copy])

    run.before("replace", "LATEST", drop)
    assert run.restore() == {"model": "1"}
    (named,) = world.named()
    assert named not in world.latest().expired
