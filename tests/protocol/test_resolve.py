"""Resolve: the first good candidate, in order, and absence only where the store has proven it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    ConflictError,
    DamagedError,
    NotFoundError,
    OutcomeUnknownError,
    StoreUnavailableError,
    UnsupportedFormatError,
)
from ckptptr.protocol.candidates import Verdict
from ckptptr.protocol.listed import Listed
from ckptptr.protocol.manifest import Lineage
from ckptptr.protocol.node import Origin
from ckptptr.protocol.references import Root
from ckptptr.protocol.retention import Retention
from ckptptr.protocol.sealed import seal
from ckptptr.testing import Fault
from tests.helpers import FLYTE, Paused, Process, World, id_of, read_folder

NEWER = json.dumps(seal({"checkpoint": "x", "format": "ckptptr/2", "shape": "of things to come"}))


def saved(world: World, attempt: int, *steps: int) -> Process:
    process = world.process(attempt)
    for step in steps:
        process.save({"model": f"step {step}"}, step=step)
    return process


def payload_key(world: World, reference: str) -> str:
    """The key of the first of its files."""
    home = world.key_of(reference).rpartition("/manifests/")[0]
    return f"{home}/{world.manifest(reference).files[0].object}"


def damage(world: World, reference: str) -> None:
    """Flip a byte of one of its files, which keeps its size."""
    key = payload_key(world, reference)
    body = world.store.read(key)[0]
    world.store.upload(key, [bytes([body[0] ^ 1]) + body[1:]])


# The order


def test_nothing_anywhere_is_a_fresh_start(world: World) -> None:
    run = world.process(3)
    assert run.restore() is None
    assert run.resolution.verdict is Verdict.FRESH
    assert str(run.resolution).startswith("a fresh start: there is no checkpoint; nothing in ")
    assert not world.find("LATEST")


@pytest.mark.parametrize("attempt", [1, 2, 7])
def test_latest_is_followed_over_attempts_that_died_before_their_first_save(
    world: World, attempt: int
) -> None:
    saved(world, 0, 1, 2)
    run = world.process(attempt)
    assert run.restore() == {"model": "step 2"}
    assert run.resolution.verdict is Verdict.POINTER
    assert run.resolution.rejected == ()


def test_a_damaged_target_is_passed_over_for_the_history_and_the_reason_is_told(world: World) -> None:
    saved(world, 0, 1, 2, 3)
    for name in world.named()[:2]:
        damage(world, name)
    run = world.process(1)
    assert run.restore() == {"model": "step 1"}
    assert run.resolution.verdict is Verdict.HISTORY
    assert [rejected.is_absent for rejected in run.resolution.rejected] == [False, False]
    assert "does not have the digest" in str(run.resolution)


def test_a_manifest_that_is_gone_is_passed_over_for_the_history(world: World) -> None:
    saved(world, 0, 1, 2)
    world.store.delete([world.key_of(world.named()[0])])
    run = world.process(1)
    assert run.restore() == {"model": "step 1"}
    assert run.resolution.rejected[0].is_absent


def test_a_file_that_is_cut_short_is_damage(world: World) -> None:
    saved(world, 0, 1, 2)
    (key,) = [key for key in world.find("model") if id_of(world.named()[0]) in key]
    world.store.upload(key, [b"step"])
    assert world.process(1).restore() == {"model": "step 1"}


def test_a_file_of_the_right_size_full_of_zeros_is_damage(world: World) -> None:
    saved(world, 0, 1, 2)
    (key,) = [key for key in world.find("model") if id_of(world.named()[0]) in key]
    world.store.upload(key, [b"\0" * len("step 2")])
    assert world.process(1).restore() == {"model": "step 1"}


def test_a_file_that_is_gone_is_damage_although_the_folder_has_it(world: World) -> None:
    saved(world, 0, 1, 2)
    newest = world.named()[0]
    world.store.delete([payload_key(world, newest)])
    run = world.process(1)
    folder = run.checkpoints.restore(world.folder({"model": "step 2"}))
    assert folder is not None
    assert read_folder(folder) == {"model": "step 1"}
    assert [rejected.reference for rejected in run.resolution.rejected] == [newest]


def test_without_latest_the_own_home_comes_first_and_then_the_nearest(world: World) -> None:
    for attempt in (0, 1, 2):
        saved(world, attempt, attempt)
    for attempt, expected in ((2, "step 2"), (1, "step 1"), (4, "step 2")):
        world.delete_latest()
        observer = Process(world, world.node(attempt), read_only=True)
        assert observer.restore() == {"model": expected}


def test_in_a_home_the_newest_manifest_comes_first(world: World) -> None:
    saved(world, 0, *range(1, 4))
    world.delete_latest()
    run = world.process(1)
    assert run.restore() == {"model": "step 3"}
    assert run.resolution.verdict is Verdict.WALKBACK


def test_the_home_that_the_platform_names_is_looked_at_where_the_layout_is_unknown(world: World) -> None:
    saved(world, 0, 1)
    world.delete_latest()
    node = world.node(5, homes_of=lambda _: (), previous=world.home_of(0))
    assert Process(world, node).restore() == {"model": "step 1"}


def test_a_folder_of_plain_files_is_restored_and_marked_as_unverified(world: World) -> None:
    world.store.upload(f"{world.home_of(0)}/model", [b"stock"])
    world.store.upload(f"{world.home_of(0)}/deep/opt", [b"stock too"])
    run = world.process(1)
    assert run.restore() == {"model": "stock", "deep/opt": "stock too"}
    assert run.resolution.verdict is Verdict.PLAIN
    assert "unverified" in str(run.resolution)


def test_plain_files_beside_checkpoints_of_ours_are_no_checkpoint(world: World) -> None:
    world.store.upload(f"{world.home_of(0)}/model", [b"stock"])
    saved(world, 0, 1)
    world.store.delete([*world.find("manifests/"), world.latest_key])
    assert world.process(1).restore() is None


def test_only_what_was_doomed_is_left_and_is_better_than_nothing(world: World) -> None:
    run = world.process(0, retention=Retention(keep_last=1), background=Paused())
    for step in (1, 2, 3):
        run.save({"model": f"step {step}"}, step=step)
    damage(world, world.named()[0])
    later = world.process(1)
    assert later.restore() == {"model": "step 2"}
    assert world.latest().target.attempt == 1, "what LATEST comes to name is a copy"
    assert not set(world.named()) & set(world.latest().expired)


def test_a_doomed_one_that_is_swept_while_it_is_copied_leaves_the_next(world: World) -> None:
    run = world.process(0, retention=Retention(keep_last=1), background=Paused())
    for step in (1, 2, 3):
        run.save({"model": f"step {step}"}, step=step)
    damage(world, world.named()[0])
    later = world.process(1)
    doomed = next(name for name in world.committed() if world.manifest(name).step == 2)
    later.before("copy", "", lambda: world.store.delete(world.find(id_of(doomed))))
    assert later.restore() == {"model": "step 1"}


def test_a_process_that_has_saved_can_still_restore_what_is_doomed(world: World) -> None:
    run = world.process(0, retention=Retention(keep_last=1), background=Paused())
    for step in (1, 2):
        run.save({"model": f"step {step}"}, step=step)
    damage(world, world.named()[0])
    assert run.restore() == {"model": "step 1"}


def test_latest_is_read_once_more_even_where_the_last_home_has_only_what_is_known_as_damaged(
    tmp_path: Path,
) -> None:
    """In a second round nobody fetches the damaged one again, and LATEST may come just then."""
    world = World(tmp_path)
    saved(world, 0, 1)
    damage(world, world.named()[0])
    world.delete_latest()
    zombie, run = world.process(1), world.process(2)
    run.after("download", "", lambda: world.write("{"), nth=2)
    run.after("list", "attempts/0/manifests", lambda: zombie.save({"model": "late"}), nth=2)
    assert run.restore() == {"model": "late"}


# A person's word


@pytest.mark.parametrize("wording", ["reference", "id", "manifest name", "uri", "payload", "bare"])
def test_a_person_may_name_a_checkpoint_in_many_words(world: World, wording: str) -> None:
    saved(world, 0, 1, 2)
    reference = world.named()[1]
    key = world.key_of(reference)
    home = key.rpartition("/manifests/")[0]
    words = {
        "reference": reference,
        "id": id_of(reference),
        "manifest name": f"{id_of(reference)}.json",
        "uri": f"memory://{key}",
        "payload": f"memory://{home}/data/{id_of(reference)}/",
        "bare": reference,
    }[wording]
    if wording == "bare":
        world.write(f"{words}\r\n")
    else:
        world.edit(checkpoint=words)
    run = world.process(1)
    assert run.restore() == {"model": "step 1"}
    assert run.resolution.verdict is Verdict.POINTER


@pytest.mark.parametrize("text", ["none", '"none"', '{"checkpoint": "none"}', "NONE\n"])
def test_none_is_a_fresh_start_although_there_are_checkpoints(world: World, text: str) -> None:
    saved(world, 0, 1, 2)
    world.write(text)
    run = world.process(1)
    assert run.restore() is None
    assert "LATEST asks for it" in str(run.resolution)


def test_a_home_stands_for_its_newest_checkpoint(world: World) -> None:
    saved(world, 0, 1, 2)
    saved(world, 1, 3)
    world.write(f"memory://{world.home_of(0)}/")
    assert world.process(2).restore() == {"model": "step 2"}


def test_a_plain_folder_may_be_named_as_a_seed(world: World) -> None:
    world.store.upload("bucket/seeds/llama/weights", [b"w"])
    world.write("memory://bucket/seeds/llama/")
    run = world.process(0)
    assert run.restore() == {"weights": "w"}
    run.save_file("model", "1")
    assert world.process(1).restore() == {"weights": "w", "model": "1"}


@pytest.mark.parametrize(
    "nonsense",
    [
        "memory://elsewhere/x/manifests/0000000001-a0000-abcdefgh.json",
        "../../secret",
        "s3://bucket/x",
        "no such",
    ],
)
def test_what_cannot_be_named_is_rejected_with_a_reason_and_the_history_is_next(
    world: World, nonsense: str
) -> None:
    saved(world, 0, 1, 2)
    world.edit(checkpoint=nonsense)
    run = world.process(1)
    assert run.restore() == {"model": "step 1"}
    assert run.resolution.rejected[0].reference.endswith(nonsense.rstrip("/"))
    assert run.resolution.rejected[0].reason


# Absence is proven


def walking_back(world: World) -> None:
    """All kinds of requests: damaged target, history, homes, plain files, adopt, forward copy."""
    saved(world, 0, 1)
    saved(world, 1, 2)
    damage(world, world.named()[0])
    world.store.delete([world.key_of(name) for name in world.named()[1:]])
    world.store.upload(f"{world.home_of(0)}/model", [b"plain"])


@pytest.mark.parametrize("error", [StoreUnavailableError("503"), AccessDeniedError("403 ListBucket")])
@pytest.mark.parametrize("layout", [saved, walking_back])
def test_a_store_that_does_not_answer_anywhere_is_never_taken_for_no_checkpoint(
    tmp_path: Path, error: CkptptrError, layout: object
) -> None:
    """For every request of a restore: it fails from then on, and the restore raises or has its answer."""

    def history(moment: int) -> int:
        scratch = tmp_path / str(moment)
        scratch.mkdir()
        world = World(scratch)
        if layout is saved:
            saved(world, 0, 1, 2)
            world.delete_latest()
        else:
            walking_back(world)
        before = {key: world.store.read(key)[0] for key in world.find("LATEST")}
        plain = Process(world, world.node(4), read_only=True)
        good, expected = plain.restore(), plain.resolution.verdict
        failing = world.process(4, Fault(nth=moment, times=10_000, error=error))
        try:
            restored = failing.restore()
        except (StoreUnavailableError, OutcomeUnknownError):
            after = {key: world.store.read(key)[0] for key in world.find("LATEST")}
            assert after == before, f"request {moment} failed and LATEST moved"
        else:
            assert (restored, failing.resolution.verdict) == (good, expected), f"request {moment} failed"
        return len(failing.store.log)

    never = 10_000
    for moment in range(1, history(never) + 1):
        history(moment)


@pytest.mark.parametrize("layout", [saved, walking_back])
def test_a_store_that_fails_for_a_moment_changes_no_restore(tmp_path: Path, layout: object) -> None:
    def history(moment: int) -> int:
        scratch = tmp_path / str(moment)
        scratch.mkdir()
        world = World(scratch)
        if layout is saved:
            saved(world, 0, 1, 2)
            world.delete_latest()
        else:
            walking_back(world)
        good = Process(world, world.node(4), read_only=True).restore()
        run = world.process(4, Fault(nth=moment, times=2))
        assert run.restore() == good, f"requests {moment} and the next failed"
        return len(run.store.log)

    never = 10_000
    for moment in range(1, history(never) + 1):
        history(moment)


def test_a_digest_that_is_wrong_twice_is_damage_and_once_is_not(world: World) -> None:
    saved(world, 0, 1, 2)
    once = Process(world, world.node(1), faults=(Fault("corrupt", op="download"),), read_only=True)
    assert once.restore() == {"model": "step 2"}
    twice = Process(world, world.node(1), faults=(Fault("corrupt", op="download", times=2),), read_only=True)
    assert twice.restore() == {"model": "step 1"}


# Newer formats


def test_a_latest_of_a_newer_version_is_refused_and_overwritten_by_nobody(world: World) -> None:
    run = saved(world, 0, 1)
    reference = world.named()[0]
    world.write(NEWER)
    fresh = world.process(1)
    for act in (
        fresh.restore,
        lambda: fresh.save({"model": "2"}),
        lambda: run.save({"model": "2"}),
        lambda: world.person().use(reference),
        lambda: world.person().pin(reference),
        lambda: world.person().unpin(reference),
        fresh.checkpoints.look,
        fresh.checkpoints.history,
    ):
        with pytest.raises(UnsupportedFormatError, match="Upgrade ckptptr"):
            act()
    assert world.store.read(world.latest_key)[0] == NEWER.encode()


def test_a_manifest_of_a_newer_version_is_not_passed_over(world: World) -> None:
    saved(world, 0, 1, 2)
    world.store.upload(world.key_of(world.named()[0]), [NEWER.encode()])
    with pytest.raises(UnsupportedFormatError):
        world.process(1).restore()
    world.delete_latest()
    with pytest.raises(UnsupportedFormatError):
        world.process(1).restore()


# Lineage


def test_a_walk_back_skips_what_belongs_to_another_node_and_says_so(world: World) -> None:
    theirs = Process(world, world.node(0, lineage=Lineage(execution="e", node="n1")))
    theirs.save({"model": "theirs"})
    world.delete_latest()
    ours = Process(world, world.node(1, lineage=Lineage(execution="e", node="n0")))
    assert ours.restore() is None
    assert "belongs to node 'n1', this is 'n0'" in str(ours.resolution)


def test_what_latest_names_of_another_node_of_the_execution_is_a_collision(world: World) -> None:
    theirs = Process(world, world.node(0, lineage=Lineage(execution="e", node="n1")))
    theirs.save({"model": "theirs"})
    ours = Process(world, world.node(1, lineage=Lineage(execution="e", node="n0")))
    assert ours.restore() is None


def test_what_a_person_names_is_taken_from_whatever_node(world: World) -> None:
    theirs = Process(world, world.node(0, lineage=Lineage(execution="e", node="n1")))
    world.write(theirs.save({"model": "theirs"}).reference)
    ours = Process(world, world.node(1, lineage=Lineage(execution="e", node="n0")))
    assert ours.restore() == {"model": "theirs"}


# Recover mode


def recovered(old: World, *attempts: int, root: Root | None = None) -> Origin:
    homes = tuple(old.home_of(attempt) for attempt in attempts)
    return Origin(what="execution 'earlier'", homes=lambda *_: homes, prefix=old.key, root=root)


def recovering(tmp_path: Path, old: World) -> Process:
    """Attempt 0 of an execution that Flyte recovers from another one."""
    world = World(tmp_path, FLYTE, beside=old)
    return Process(world, world.node(0, origins=(recovered(old, 1, 0),)))


@pytest.fixture
def old(tmp_path: Path) -> World:
    world = World(tmp_path, FLYTE.replace("execution", "earlier"))
    saved(world, 0, 1, 2)
    saved(world, 1, 3)
    return world


def test_a_recovered_run_follows_the_latest_of_the_other_execution(tmp_path: Path, old: World) -> None:
    run = recovering(tmp_path, old)
    assert run.restore() == {"model": "step 3"}


@pytest.mark.parametrize("in_words", [False, True])
def test_a_hold_there_counts_whatever_its_words(tmp_path: Path, old: World, in_words: bool) -> None:
    chosen = old.named()[1]
    old.write(id_of(chosen) if in_words else chosen)
    run = recovering(tmp_path, old)
    assert run.restore() == {"model": "step 2"}


def test_what_the_latest_there_says_is_relative_to_the_root_there(tmp_path: Path) -> None:
    old = World(tmp_path, FLYTE.replace("data/", "other/prefix/").replace("execution", "earlier"))
    saved(old, 0, 1, 2)
    old.edit(checkpoint=old.named()[1])
    world = World(tmp_path, FLYTE, beside=old)
    origin = recovered(old, 0, root=old.node(0).root)
    run = Process(world, world.node(0, origins=(origin,)))
    assert run.restore() == {"model": "step 1"}
    assert world.process(1).restore() == {"model": "step 1"}


def test_a_fresh_start_wanted_there_means_that_nothing_of_it_is_taken(tmp_path: Path, old: World) -> None:
    old.write("none")
    assert recovering(tmp_path, old).restore() is None


def test_without_a_latest_there_its_homes_are_walked_back(tmp_path: Path, old: World) -> None:
    old.delete_latest()
    run = recovering(tmp_path, old)
    assert run.restore() == {"model": "step 3"}


def test_nothing_of_the_other_execution_is_ever_changed(tmp_path: Path, old: World) -> None:
    before = {key: old.store.read(key) for key in old.find("earlier")}
    run = recovering(tmp_path, old)
    run.restore()
    for step in range(4, 12):
        run.save({"model": str(step)}, step=step)
    assert {key: old.store.read(key) for key in old.find("earlier")} == before


# One named checkpoint


def test_one_checkpoint_can_be_asked_for_and_then_there_is_no_second_choice(world: World) -> None:
    saved(world, 0, 1, 2)
    before = world.store.read(world.latest_key)
    first = world.named()[1]
    run = world.process(1)
    assert run.restore(first) == {"model": "step 1"}
    damage(world, first)
    with pytest.raises(DamagedError):
        run.restore(id_of(first))
    with pytest.raises(NotFoundError):
        run.restore("0000000009-a0000-nosuchid")
    assert world.store.read(world.latest_key) == before


def test_a_look_fetches_and_moves_nothing(world: World) -> None:
    saved(world, 0, 1, 2)
    world.edit(checkpoint=world.named()[1])
    before = world.store.read(world.latest_key)
    run = world.process(1)
    found = run.checkpoints.look().found
    assert found is not None
    assert found.manifest is not None
    assert found.manifest.step == 1
    assert {request.op for request in run.store.log} == {"read", "list"}
    assert world.store.read(world.latest_key) == before


def test_a_look_passes_over_what_a_restore_passes_over(world: World) -> None:
    saved(world, 0, 1, 2)
    newest = world.named()[0]
    world.store.delete([payload_key(world, newest)])
    run = world.process(1)
    looked = run.checkpoints.look()
    assert looked.found is not None
    assert looked.found.reference == world.named()[1]
    assert [rejected.reference for rejected in looked.rejected] == [world.named()[0]]
    assert "'model': it is gone" in looked.rejected[0].reason
    run.restore()
    assert run.resolution.found == looked.found


def test_what_is_newer_than_a_listing_is_not_rejected_by_it(world: World) -> None:
    process = saved(world, 0, 1)
    accept = Listed(world.store)
    accept(process.checkpoints.look().found)
    process.save({"model": "step 2"}, step=2)
    accept(process.checkpoints.look().found)


def test_a_latest_that_never_stands_still_is_an_error_after_a_bounded_number_of_rounds(world: World) -> None:
    saved(world, 0, 1)
    other = world.named()[0]
    run = world.process(1)
    for turn in range(1, 30):
        run.before("read", "LATEST", lambda turn=turn: world.write(f"{other[:-5]}{turn}.json"), nth=turn)
    with pytest.raises(ConflictError, match="LATEST changed 8 times"):
        run.restore()
