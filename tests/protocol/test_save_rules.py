"""The content rules, and how little is sent."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest

from ckptptr.errors import DamagedError, InvalidArgumentError, StoreUnavailableError, SupersededError
from ckptptr.protocol.names import BYTES_NAME
from ckptptr.protocol.publish import Standing
from ckptptr.protocol.retention import Retention
from ckptptr.stores.local.store import LocalStore
from ckptptr.testing import Fault
from tests.helpers import FLYTE, Paused, Process, World


def sent(requests: list[str]) -> list[str]:
    """The names of the files that were uploaded."""
    return sorted(request.rpartition("/")[2] for request in requests if request.startswith("upload"))


# What replaces and what is added


def test_a_file_is_added_to_the_content(world: World) -> None:
    run = world.process(0)
    run.save_file("model", "1")
    run.save_file("opt", "2")
    assert world.process(1).restore() == {"model": "1", "opt": "2"}


def test_a_file_replaces_the_one_of_its_name(world: World) -> None:
    run = world.process(0)
    run.save_file("model", "1")
    run.save_file("opt", "2")
    run.save_file("model", "3")
    assert world.process(1).restore() == {"model": "3", "opt": "2"}


def test_a_folder_replaces_the_content(world: World) -> None:
    run = world.process(0)
    run.save_file("stale", "1")
    run.save({"model": "2", "deep/opt": "3"})
    assert world.process(1).restore() == {"model": "2", "deep/opt": "3"}


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_bytes_and_readers_replace_the_content(world: World, kind: type) -> None:
    run = world.process(0)
    run.save_file("stale", "1")
    run.save_bytes(kind(b"state"))
    assert world.process(1).restore() == {BYTES_NAME: "state"}


def test_a_file_is_added_to_what_was_restored(world: World) -> None:
    world.process(0).save({"model": "1", "opt": "1"})
    run = world.process(1)
    run.restore()
    run.save_file("model", "2")
    assert world.process(2).restore() == {"model": "2", "opt": "1"}


def test_a_file_is_not_added_to_what_was_neither_saved_nor_restored(world: World) -> None:
    world.process(0).save({"model": "1", "opt": "1"})
    world.process(1).save_file("model", "2")
    assert world.process(2).restore() == {"model": "2"}


def test_a_fresh_start_that_was_chosen_has_no_content_to_add_to(world: World) -> None:
    world.process(0).save({"model": "1", "opt": "1"})
    world.write("none")
    run = world.process(1)
    run.restore()
    run.save_file("model", "2")
    assert world.process(2).restore() == {"model": "2"}


def test_a_file_takes_the_place_of_a_folder_of_its_name_and_the_other_way_round(world: World) -> None:
    run = world.process(0)
    run.save({"state/model": "1", "kept": "k"})
    run.save_file("state", "a file now")
    assert world.process(1).restore() == {"state": "a file now", "kept": "k"}


def test_empty_folders_are_kept(world: World, tmp_path: Path) -> None:
    (tmp_path / "in" / "logs" / "empty").mkdir(parents=True)
    world.process(0).checkpoints.save(tmp_path / "in")
    assert world.process(1).checkpoints.restore(tmp_path / "out") is not None
    assert (tmp_path / "out" / "logs" / "empty").is_dir()


def test_a_batch_is_one_checkpoint(world: World) -> None:
    run = world.process(0)
    folder = world.folder({"model": "1", "opt": "2"})
    with run.checkpoints.batch(step=5, metadata={"loss": 0.1}) as batch:
        batch.save(folder / "model")
        batch.save(folder / "opt")
    assert world.steps() == [5]
    assert world.process(1).restore() == {"model": "1", "opt": "2"}


def test_of_a_batch_that_raises_nothing_is_saved(world: World) -> None:
    run = world.process(0)

    def training_step() -> None:
        with run.checkpoints.batch() as batch:
            batch.save(world.folder({"model": "1"}))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        training_step()
    assert run.store.log == []


def test_a_save_that_failed_does_not_count_as_content(world: World) -> None:
    run = world.process(0)
    run.save_file("model", "1")
    run.fail(Fault(op="upload"))
    with pytest.raises(StoreUnavailableError):
        run.save_file("opt", "2")
    run.save_file("rng", "3")
    assert world.process(1).restore() == {"model": "1", "rng": "3"}


def test_what_cannot_be_saved_is_refused_before_anything_is_sent(world: World, tmp_path: Path) -> None:
    run = world.process(0)
    for content in (tmp_path / "missing", 12, None, io.StringIO("text")):
        with pytest.raises(InvalidArgumentError):
            run.checkpoints.save(content)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="JSON"):
        run.checkpoints.save(b"x", metadata={"x": object()})
    assert run.store.log == []


# How little is sent


def test_an_unchanged_file_is_referenced_and_not_sent(world: World) -> None:
    run = world.process(0)
    run.save({"frozen": "weights", "model": "1"})
    with run.requests() as requests:
        run.save({"frozen": "weights", "model": "2"})
    assert sent(requests) == ["model"]
    assert world.process(1).restore() == {"frozen": "weights", "model": "2"}


def test_a_file_of_the_same_size_that_changed_is_sent(world: World) -> None:
    run = world.process(0)
    run.save({"model": "aa"})
    with run.requests() as requests:
        run.save({"model": "bb"})
    assert sent(requests) == ["model"]
    assert world.process(1).restore() == {"model": "bb"}


def test_an_unchanged_file_with_other_permissions_is_referenced_and_gets_them(
    world: World, tmp_path: Path
) -> None:
    run = world.process(0)
    folder = world.folder({"run.sh": "echo"})
    run.checkpoints.save(folder)
    (folder / "run.sh").chmod(0o755)
    with run.requests() as requests:
        run.checkpoints.save(folder)
    assert sent(requests) == []
    out = world.process(1).checkpoints.restore(tmp_path / "out")
    assert out is not None
    assert (out / "run.sh").stat().st_mode & 0o777 == 0o755


def test_files_of_another_home_are_copied_inside_the_store(world: World) -> None:
    world.process(0).save({"model": "1", "opt": "1", "rng": "1"})
    run = world.process(1)
    run.restore()
    with run.requests() as requests:
        run.save_file("model", "2")
    assert sent(requests) == ["model"]
    assert sum(request.startswith("copy") for request in requests) == 2
    home = world.home_of(1)
    assert {key.rpartition("/")[2] for key in world.find(rf"{home}/data/")} == {"model", "opt", "rng"}


def test_a_manifest_names_objects_of_its_own_home_only(tmp_path: Path) -> None:
    world = World(tmp_path, FLYTE)
    for attempt in range(4):
        run = world.process(attempt)
        run.restore()
        run.save_file(f"file-{attempt}", "x")
    for attempt in (0, 1, 2):
        world.store.delete(world.find(world.home_of(attempt)))
    assert world.process(4).restore() == {f"file-{attempt}": "x" for attempt in range(4)}


def test_a_saved_file_of_the_current_content_that_is_gone_is_said_and_a_folder_still_saves(
    world: World,
) -> None:
    world.process(0).save({"model": "1", "opt": "1"})
    run = world.process(1)
    run.restore()
    world.store.delete(world.find("opt"))
    with pytest.raises(DamagedError, match="Save the whole folder"):
        run.save_file("model", "2")
    run.save({"model": "2", "opt": "2"})
    assert world.process(2).restore() == {"model": "2", "opt": "2"}


# A run under a hold


def hold(world: World) -> bytes:
    world.edit(checkpoint=world.named()[-1], note="hands off")
    return world.store.read(world.latest_key)[0]


def test_a_held_latest_is_left_alone_and_that_is_said_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    run = world.process(0)
    for step in (1, 2):
        run.save({"model": str(step)}, step=step)
    held = hold(world)
    with caplog.at_level(logging.WARNING, "ckptptr"):
        for step in (3, 4, 5):
            run.save({"model": str(step)}, step=step)
    assert world.store.read(world.latest_key)[0] == held
    assert sum("is held by a person" in record.message for record in caplog.records) == 1
    assert world.process(1).restore() == {"model": "1"}


def test_a_hold_that_comes_between_two_requests_of_a_save_is_respected(tmp_path: Path) -> None:
    def history(moment: int) -> int:
        scratch = tmp_path / str(moment)
        scratch.mkdir()
        world = World(scratch)
        run = world.process(0, background=Paused())
        for step in (1, 2):
            run.save({"model": str(step)}, step=step)
        start = len(run.store.log)
        run.before("", "", lambda: hold(world), nth=moment)
        run.save({"model": "3"}, step=3)
        if moment <= len(run.store.log) - start:
            assert world.process(1).restore() == {"model": "1"}, f"the hold came before request {moment}"
        return len(run.store.log) - start

    for moment in range(1, history(1000) + 1):
        history(moment)


def test_under_a_hold_storage_stays_bounded_and_the_newest_are_kept(world: World) -> None:
    run = world.process(0, retention=Retention(keep_last=2))
    run.save({"frozen": "same", "model": "0"}, step=0)
    hold(world)
    for step in range(1, 20):
        run.save({"frozen": "same", "model": str(step)}, step=step)
    assert [world.manifest(name).step for name in world.committed()] == [0, 18, 19]
    assert all(world.is_whole(name) for name in world.committed())
    assert len(world.find("frozen")) == 1


def test_words_that_a_person_writes_twice_hide_nothing_of_what_was_deleted_in_between(tmp_path: Path) -> None:
    """The version of LATEST is its content there, as on S3."""
    disk = str(tmp_path / "bucket")
    world = World(tmp_path, f"{disk}/run", store=LocalStore(), bucket=disk)
    run = world.process(0)
    run.save({"frozen": "same", "model": "1"}, step=1)
    world.write("none")
    run.save({"frozen": "same", "model": "2"}, step=2)
    newer = world.process(1, retention=Retention(keep_last=1))
    newer.restore()
    for step in (3, 4, 5):
        newer.save({"model": f"newer {step}"}, step=step)
    assert world.find("frozen") == []
    world.write("none")
    saved = run.save({"frozen": "same", "model": "6"}, step=6)
    assert world.content(saved.reference) == {"frozen": "same", "model": "6"}


@pytest.mark.parametrize("wording", ["reference", "id", "uri", "use"])
def test_what_a_run_committed_under_a_hold_is_kept_once_the_person_chooses_it(
    world: World, wording: str
) -> None:
    run = world.process(0, retention=Retention(keep_last=1), background=Paused())
    run.save({"model": "0"}, step=0)
    hold(world)
    chosen = run.save({"model": "1"}, step=1).reference
    run.save({"model": "2"}, step=2)
    if wording == "use":
        world.person().use(chosen)
    else:
        name = chosen.rpartition("/")[2].removesuffix(".json")
        uri = f"memory://{world.key_of(chosen)}"
        world.edit(checkpoint={"reference": chosen, "id": name, "uri": uri}[wording])
    run.background.catch_up()
    run.save({"model": "3"}, step=3)
    run.background.catch_up()
    assert world.process(1).restore() == {"model": "1"}


def test_a_run_publishes_again_when_a_sibling_has_taken_up_the_hold(world: World) -> None:
    run = world.process(0)
    for step in (1, 2):
        run.save({"model": str(step)}, step=step)
    hold(world)
    run.save({"model": "3"}, step=3)
    world.process(0).restore()
    run.save({"model": "4"}, step=4)
    assert world.steps()[:2] == [4, 1]


def test_what_was_committed_beside_an_earlier_hold_is_not_relied_on(world: World) -> None:
    """A sibling took up that hold, went on and swept it; then a person holds LATEST again."""
    run, sibling = (world.process(0, retention=Retention(keep_last=1)) for _ in range(2))
    run.save({"model": "1"}, step=1)
    hold(world)
    run.save({"model": "2"}, step=2)
    sibling.restore()
    for step in (3, 4, 5, 6):
        sibling.save({"model": str(step)}, step=step)
    hold(world)
    with pytest.raises(DamagedError, match="Save the whole folder"):
        run.save_file("opt", "7", step=7)
    assert all(world.is_whole(name) for name in world.committed())


def test_under_a_hold_a_file_is_added_to_what_the_run_has_and_not_to_what_the_person_chose(
    world: World,
) -> None:
    world.process(0).save({"old": "x"}, step=1)
    run = world.process(0)
    run.restore()
    run.save({"model": "2"}, step=2)
    hold(world)
    run.save_file("opt", "3", step=3)
    newest = world.committed()[-1]
    assert world.content(newest) == {"model": "2", "opt": "3"}


def test_the_outcome_under_a_hold_has_its_own_name(world: World) -> None:
    run = world.process(0)
    run.save({"model": "1"})
    hold(world)
    saver = run.checkpoints._saver
    from ckptptr.session.content import change_of

    published = saver.save(change_of(b"2"), None, {})
    assert published.standing is Standing.HELD


# Metadata


def test_parent_and_metadata_are_recorded(world: World) -> None:
    first: Process = world.process(0)
    source = first.save({"model": "1"}, step=1).reference
    run = world.process(1)
    run.restore()
    saved = run.save({"model": "2"}, step=2, loss=0.25, tags=["a"])
    manifest = world.manifest(saved.reference)
    assert (manifest.parent, manifest.step, manifest.attempt) == (source, 2, 1)
    assert manifest.metadata == {"loss": 0.25, "tags": ["a"]}
    assert manifest.total_bytes == saved.bytes == 1


def test_a_second_merge_takes_what_the_sibling_saved_since_the_first(world: World) -> None:
    world.process(0).save({"model": "1"}, step=1)
    fast, slow = world.process(0), world.process(0)
    slow.before("replace", "LATEST", lambda: fast.save_file("opt", "2", step=2))
    slow.before("replace", "LATEST", lambda: fast.save_file("opt", "3", step=3), nth=2)
    slow.save_file("rng", "2", step=2)
    assert world.process(1).restore() == {"model": "1", "opt": "3", "rng": "2"}


def test_a_process_that_has_seen_a_newer_attempt_is_superseded_whatever_an_edit_says(world: World) -> None:
    late = world.process(0)
    late.save({"model": "one"}, step=1)
    world.process(1).save({"model": "two"}, step=2)
    for change in (None, world.edit, world.delete_latest):
        if change is not None:
            change()
        with pytest.raises(SupersededError, match="attempt 1 has taken over, this is attempt 0"):
            late.save({"model": "three"}, step=3)
