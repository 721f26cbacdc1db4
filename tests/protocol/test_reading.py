"""A file of a checkpoint, read from the store as it is needed."""

from __future__ import annotations

import io
import logging
import random
import zipfile
from collections.abc import Callable
from concurrent.futures import wait

import msgspec
import pytest

from ckptptr.errors import DamagedError, NotFoundError
from ckptptr.protocol.manifest import FileRecord
from ckptptr.testing import Fault
from ckptptr.transfer.reader import Member
from tests.helpers import Process, World
from tests.transfer.test_download import LARGER, in_blocks

BODY = random.Random(1).randbytes(1000)
LARGE_BODY = random.Random(1).randbytes(LARGER)


@pytest.fixture
def run(world: World) -> Process:
    """Has a checkpoint with blocks of 64 bytes: a manifest says itself how large they are."""
    return _saved(world, BODY, lambda record: in_blocks(record, BODY, 64))


@pytest.fixture
def older(world: World) -> Process:
    """Reads what a version saved that knew only digests of whole files."""
    return _saved(world, LARGE_BODY, lambda record: msgspec.structs.replace(record, blocks=None))


def _saved(world: World, body: bytes, change: Callable[[FileRecord], FileRecord]) -> Process:
    """The next attempt after a save of a small file and of `body`, whose record another version wrote."""
    folder = world.folder({"config.json": "{}"})
    (folder / "model.pt").write_bytes(body)
    world.process(0).checkpoints.save(folder)
    reference = world.latest().target.checkpoint
    manifest = world.manifest(reference)
    files = tuple(change(r) if r.path == "model.pt" else r for r in manifest.files)
    key = world.key_of(reference)
    changed = msgspec.structs.replace(manifest, files=files).encode()
    world.store.replace(key, changed, world.store.read(key)[1])
    return world.process(1)


def downloads(process: Process) -> int:
    return sum(request.op == "download" for request in process.store.log)


def test_what_is_read_in_order_is_verified(run: Process) -> None:
    with run.checkpoints.open("model.pt") as file:
        assert file.read() == BODY
        assert file.raw.is_verified  # type: ignore[attr-defined]


def test_nothing_is_fetched_but_what_is_asked_for(run: Process, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ckptptr"), run.checkpoints.open("model.pt") as file:
        assert downloads(run) == 0
        file.seek(-100, io.SEEK_END)
        assert file.raw.read(10) == BODY[900:910]
        assert downloads(run) == 1
        assert file.raw.is_verified  # type: ignore[attr-defined]
    assert "was not checked" not in caplog.text


def test_of_what_an_older_version_saved_it_is_said_if_it_was_not_verified(
    older: Process, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="ckptptr"), older.checkpoints.open("model.pt") as file:
        file.seek(-100, io.SEEK_END)
        assert file.raw.read(10) == LARGE_BODY[-100:-90]
        assert downloads(older) == 1
        assert not file.raw.is_verified  # type: ignore[attr-defined]
    assert "model.pt" in caplog.text
    assert "its digest was not checked" in caplog.text


def test_what_an_older_version_saved_is_verified_if_it_is_read_in_order(older: Process) -> None:
    with older.checkpoints.open("model.pt") as file:
        assert file.read() == LARGE_BODY
        assert file.raw.is_verified  # type: ignore[attr-defined]


def test_who_reads_on_gets_the_next_chunks_ahead(world: World, run: Process) -> None:
    reference = world.latest().target.checkpoint
    (record,) = (r for r in world.manifest(reference).files if r.path == "model.pt")
    with Member(run.store, f"{world.home_of(0)}/{record.object}", record, ahead=3 * 64) as file:
        file.read(64)
        assert downloads(run) == 1
        file.read(64)
        wait(file._chunks._fetched.values())
        assert downloads(run) == 1 + 1 + 3


def test_random_reads_and_seeks_agree_with_a_file_in_memory(run: Process) -> None:
    chance, model = random.Random(2), io.BytesIO(BODY)
    with run.checkpoints.open("model.pt") as file:
        for _ in range(300):
            offset, length = chance.randrange(1100), chance.choice([0, 1, 7, 64, 200, -1])
            assert file.seek(offset) == model.seek(offset)
            assert file.read(length) == model.read(length)
            assert file.tell() == model.tell()
        with pytest.raises(ValueError, match="before the file begins"):
            file.raw.seek(-1)


def test_a_program_that_jumps_about_in_an_archive_reads_it(world: World) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        for number in range(5):
            out.writestr(f"tensor-{number}", BODY)
    world.process(0).save_bytes(archive.getvalue())
    with world.process(1).checkpoints.open() as file, zipfile.ZipFile(file) as found:
        assert found.read("tensor-3") == BODY


def test_a_flipped_bit_is_damage_when_the_last_byte_was_read(older: Process) -> None:
    older.fail(Fault("corrupt", op="download", nth=3))
    with older.checkpoints.open("model.pt") as file, pytest.raises(DamagedError, match="the digest"):
        file.read()


def test_with_digests_of_blocks_only_the_flipped_block_is_fetched_again(run: Process) -> None:
    run.fail(Fault("corrupt", op="download", nth=3))
    with run.checkpoints.open("model.pt") as file:
        assert file.read() == BODY
    assert downloads(run) == -(-len(BODY) // 64) + 1


def test_the_newest_checkpoint_is_taken_up_as_by_a_restore_and_built_on(world: World, run: Process) -> None:
    world.person().use(world.latest().target.checkpoint, note="this one")
    with run.checkpoints.open("model.pt"):
        pass
    latest = world.latest()
    assert (latest.held, latest.fence) == (False, 1)
    run.save_file("config.json", "{1}")
    with run.checkpoints.open("model.pt") as file:  # of what was saved now
        assert file.read() == BODY
    parent = world.manifest(world.latest().target.checkpoint).parent
    assert parent
    assert "a0000" in parent


def test_a_checkpoint_that_lacks_an_object_is_passed_over(world: World) -> None:
    first = world.process(0)
    first.save({"model": "1"})
    first.save({"model": "22"})
    newest = world.manifest(world.latest().target.checkpoint)
    world.store.delete([f"{world.home_of(0)}/{newest.files[0].object}"])
    with world.process(1).checkpoints.open("model") as file:
        assert file.read() == b"1"


def test_a_file_that_is_not_in_it_is_told_with_those_that_are(run: Process) -> None:
    with pytest.raises(NotFoundError, match=r"no such file: model.bin. There is config.json, model.pt"):
        run.checkpoints.open("model.bin")
    with pytest.raises(NotFoundError, match=r"There is config.json, model.pt"):
        run.checkpoints.open()


def test_without_a_checkpoint_there_is_nothing_to_open(world: World) -> None:
    with pytest.raises(NotFoundError, match="no checkpoint at all"):
        world.process(0).checkpoints.open("model.pt")
