"""A file that is uploaded while it is written."""

from __future__ import annotations

import io
import random
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.errors import InvalidArgumentError, StoreUnavailableError, SupersededError
from ckptptr.lifetime import daemon
from ckptptr.stores.memory import MemoryStore
from ckptptr.testing import Fault
from ckptptr.transfer.writer import AbandonedError, Stream
from tests.helpers import World

BODY = random.Random(1).randbytes(1000)


@pytest.fixture(autouse=True)
def small_blocks(world: World) -> None:
    inner = getattr(world.store, "inner", world.store)
    assert isinstance(inner, MemoryStore)
    inner.block_size = 32  # the blocks of a stream are twice as long, see `block_for`


def restored(world: World, name: str) -> bytes:
    with world.process(9).checkpoints.open(name) as file:
        return file.read()


def test_what_is_written_in_pieces_of_any_size_is_one_file_of_the_checkpoint(world: World) -> None:
    chance, rest = random.Random(2), memoryview(BODY)
    with world.process(0).checkpoints.writer("deep/model.pt", step=7, metadata={"loss": 1}) as file:
        while rest:
            length = chance.choice([0, 1, 63, 64, 65, 300])
            written = file.write(rest[:length])
            assert written == len(rest[:length])
            rest = rest[length:]
        assert file.tell() == len(BODY)
    manifest = world.manifest(world.latest().target.checkpoint)
    assert (manifest.step, manifest.metadata, manifest.total_bytes) == (7, {"loss": 1}, len(BODY))
    assert restored(world, "deep/model.pt") == BODY


@pytest.mark.parametrize("size", [0, 1, 64, 128])
def test_so_are_no_bytes_and_whole_blocks(world: World, size: int) -> None:
    with world.process(0).checkpoints.writer("model.pt") as file:
        file.write(BODY[:size])
    assert restored(world, "model.pt") == BODY[:size]


def test_it_is_added_to_the_content_as_a_file_is(world: World) -> None:
    run = world.process(0)
    run.save({"config": "{}"})
    with run.checkpoints.writer("model") as file:
        file.write(b"1")
    assert world.process(1).restore() == {"config": "{}", "model": "1"}


def test_it_is_sent_while_it_is_written_and_no_more_than_a_few_blocks_wait(world: World) -> None:
    run = world.process(0)
    sent = threading.Semaphore(0)
    upload = run.store.upload

    def slow(key: str, blocks: Any) -> None:
        def paced() -> Any:
            for block in blocks:
                sent.release()
                yield block

        upload(key, paced())

    run.store.upload = slow  # type: ignore[method-assign]
    with run.checkpoints.writer("model") as file:
        for _ in range(10):
            file.write(bytes(64))
            assert sent.acquire(timeout=10)
        assert file._queue.qsize() == 0


def test_a_block_that_raises_saves_nothing_and_the_next_save_does(world: World) -> None:
    run = world.process(0)
    run.save({"model": "1"}, step=1)
    with pytest.raises(ZeroDivisionError), run.checkpoints.writer("model") as file:
        file.write(BODY[: 1 // 0])
    assert world.steps() == [1]
    run.save({"model": "2"}, step=2)
    assert world.steps() == [2, 1]


def test_what_the_upload_fails_with_is_raised_by_a_write_or_at_the_end(world: World) -> None:
    run = world.process(0, Fault(op="upload", times=100))
    writer = run.checkpoints.writer("model")
    with open("/dev/zero", "rb") as endless, pytest.raises(StoreUnavailableError), writer as file:
        shutil.copyfileobj(endless, file)
    with pytest.raises(StoreUnavailableError), run.checkpoints.writer("model"):
        pass


def test_a_zombie_hears_of_it_while_it_writes(world: World) -> None:
    zombie = world.process(0)
    zombie.restore()
    world.process(1).save({"model": "1"})
    with pytest.raises(SupersededError), zombie.checkpoints.writer("model") as file:
        file.write(BODY)


def test_a_save_of_the_same_thread_inside_the_block_is_refused_instead_of_waiting_for_ever(
    world: World,
) -> None:
    run = world.process(0)
    with run.checkpoints.writer("model") as file:
        file.write(b"1")
        for act in (
            lambda: run.save({"other": "2"}),
            run.restore,
            lambda: run.checkpoints.open("model"),
            lambda: run.checkpoints.writer("second").__enter__(),
        ):
            with pytest.raises(InvalidArgumentError, match="a writer of this thread is open"):
                act()
    assert world.process(1).restore() == {"model": "1"}


def test_so_it_is_when_another_thread_has_left_a_block_of_its_own(tmp_path: Path) -> None:
    checkpoints, is_open, may_save = ckptptr.open(tmp_path), threading.Event(), threading.Event()

    def save_inside() -> None:
        with checkpoints.writer("model") as file:
            file.write(b"1")
            is_open.set()
            assert may_save.wait(10)
            with pytest.raises(InvalidArgumentError, match="a writer of this thread is open"):
                checkpoints.save(b"2")

    with checkpoints.writer("other") as file:
        file.write(b"2")
        while checkpoints._session.lock.acquire(blocking=False):  # until its upload has begun
            checkpoints._session.lock.release()
        inside = daemon.start(save_inside)
        assert is_open.wait(10)
    may_save.set()
    inside.result(10)


@pytest.mark.parametrize("name", ["", "../up", "/root", "a//b"])
def test_a_name_that_leaves_the_checkpoint_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidArgumentError), world.process(0).checkpoints.writer(name):
        pass
    assert world.find() == []


def test_a_text_file_can_be_written_through_it(world: World) -> None:
    with world.process(0).checkpoints.writer("notes.txt") as file:
        text = io.TextIOWrapper(file)
        text.write("größe\n" * 100)
        text.detach()
    assert restored(world, "notes.txt").decode() == "größe\n" * 100


def test_a_writer_that_gives_up_never_waits_for_room() -> None:
    stream = Stream("model", 64)
    stream.write(bytes(128))  # no upload reads: as many blocks as may wait
    stream.abandon()
    with pytest.raises(AbandonedError):
        list(stream.blocks())
