"""Huge, hostile and odd content, on a disk and on S3: passed over with a reason, at a bounded cost."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import ckptptr
from ckptptr.errors import DamagedError, InvalidArgumentError
from ckptptr.protocol import sealed
from ckptptr.protocol.manifest import Manifest
from ckptptr.protocol.names import CheckpointId
from ckptptr.stores.open import open_store
from tests.cli.conftest import run as command
from tests.helpers import FakeClock, World

MIB = 1 << 20


class Place:
    """A run with two checkpoints, on a disk or on S3, that somebody spoils."""

    def __init__(self, url: str, filesystem: Any, tmp_path: Path) -> None:
        self.url, self._filesystem, self._tmp = url, filesystem, tmp_path
        self.store, self.key = open_store(url, filesystem=filesystem)
        with self.open(0) as checkpoints:
            self.first = checkpoints.save(b"first", step=1)
            self.last = checkpoints.save(b"last!!", step=2)

    def open(self, attempt: int) -> ckptptr.Checkpoints:
        return ckptptr.open(self.url, attempt=attempt, filesystem=self._filesystem)

    @property
    def manifest_key(self) -> str:
        return f"{self.key}/{self.last.reference}"

    def write(self, key: str, body: bytes) -> None:
        self.store.upload(key, [body])

    def zeros(self, key: str, mebibytes: int) -> None:
        self.store.upload(key, (bytes(MIB * 8) for _ in range(mebibytes // 8 + 1)))

    def change(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the last manifest, and seal it again."""
        document = json.loads(self.store.read(self.manifest_key)[0])
        change(document)
        self.write(self.manifest_key, msgspec.json.encode(sealed.seal(document)))

    def restored(self) -> bytes:
        """What a restore finds; and a save after it works."""
        with self.open(1) as checkpoints:
            folder = checkpoints.restore(self._tmp / "out")
            assert folder is not None
            (file,) = folder.iterdir()
            found = file.read_bytes()
            checkpoints.save(b"next", step=3)
            checkpoints.wait()
            assert next(iter(checkpoints.history())).step == 3
        return found


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.servers)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "disk":
        return Place(str(tmp_path / "run"), None, tmp_path)
    bucket = request.getfixturevalue("s3_bucket")
    filesystem = request.getfixturevalue("s3_filesystem")
    return Place(f"s3://{bucket}/{tmp_path.name}", filesystem, tmp_path)


@contextmanager
def at_most(mebibytes: int) -> Iterator[None]:
    """No more memory is in use at any moment of the block."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mebibytes * MIB
    finally:
        tracemalloc.stop()


def file(**changes: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["files"][0].update(changes)


MANIFESTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a file of 64 TiB": (file(size=1 << 46), "it has 6 bytes, 70368744177664 were saved"),
    "a file of 10^18 bytes": (file(size=10**18 - 1), "it has 6 bytes, 999999999999999999 were saved"),
    "a size of 30 digits": (file(size=10**30), "which is not allowed"),
    "a hidden name": (file(path=".ckptptr-restore-x/model"), "are ckptptr's own"),
    "a hidden name below": (file(path="a/.ckptptr-x"), "are ckptptr's own"),
    "2,000 folders": (file(path="a/" * 2000 + "b"), "at most 2048 bytes and 256 names"),
    "300 folders": (file(path="a/" * 300 + "b"), "at most 2048 bytes and 256 names"),
    "a name of 256 bytes": (file(path="\u00e9" * 128), "a name has at most 255 bytes"),
    "a folder with a name of 256 bytes": (
        lambda document: document.update(folders=["x/" + "n" * 256]),
        "a name has at most 255 bytes",
    ),
    "a seq of 19 digits": (lambda document: document.update(seq=10**18), "the manifest is incomplete"),
    "a format of 5,000 digits": (
        lambda document: document.update(format=f"ckptptr/{'9' * 5000}"),
        "unknown format 'ckptptr/9999",
    ),
}


@pytest.mark.parametrize(("change", "reason"), MANIFESTS.values(), ids=MANIFESTS)
def test_a_hostile_manifest_is_passed_over(
    place: Place, change: Callable[[dict[str, Any]], object], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    place.change(change)
    with at_most(64):
        assert place.restored() == b"first"
    assert reason in caplog.text
    assert max(len(record.getMessage()) for record in caplog.records) < 2000


def test_a_number_of_5000_digits_in_a_manifest_is_damage(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    body = place.store.read(place.manifest_key)[0]
    place.write(place.manifest_key, body.replace(b'"step": 2', b'"step": ' + b"9" * 5000))
    assert place.restored() == b"first"
    assert "the manifest is not JSON" in caplog.text


def test_a_manifest_of_a_tebibyte_is_read_up_to_the_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = Place(str(tmp_path / "run"), None, tmp_path)
    os.truncate(place.manifest_key, 1 << 40)
    with at_most(1200):  # two threads may read it
        assert place.restored() == b"first"
    assert "the manifest has more than 512 MiB" in caplog.text


def test_a_latest_above_the_limit_is_not_read_to_its_end(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.zeros(f"{place.key}/LATEST", 80)
    with at_most(130):
        assert place.restored() == b"last!!"
    assert "LATEST has more than 16 MiB" in caplog.text
    (kept,) = [entry for entry in place.store.list(place.key) if "/LATEST.damaged-" in entry.key]
    assert kept.size == 16 * MIB + 1


def test_a_latest_of_a_tebibyte_costs_no_more(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "run"), None, tmp_path)
    os.truncate(tmp_path / "run/LATEST", 1 << 40)
    with at_most(130):
        assert place.restored() == b"last!!"


LATESTS: dict[str, str] = {
    "a number of 5,000 digits": '{"checkpoint": "x", "step": %s}' % ("9" * 5000),
    "a number of 4,300 digits": '{"checkpoint": "x", "step": %s}' % ("9" * 4300),
    "a format of 5,000 digits": '{"checkpoint": "x", "format": "ckptptr/%s"}' % ("9" * 5000),
    "a line of digits": "9" * 5000,
    "an id of 5,000 digits": "9" * 5000 + "-a0000-abcdefgh",
    "an id of 1,000 digits": "9" * 1000 + "-a0000-abcdefgh",
    "2,000 folders": "a/" * 2000 + "b",
    "a name of 300 bytes": "attempts/" + "a" * 300,
    "a manifest with such a name": f"attempts/0/manifests/{'a' * 300}.json",
    "a mebibyte of folders": "x/" * 500_000 + "y",
    "100,000 brackets": f'{{"checkpoint": "x", "a": {"[" * 100_000}{"]" * 100_000}}}',
}


@pytest.mark.parametrize("text", LATESTS.values(), ids=LATESTS)
def test_a_hostile_latest_is_passed_over(place: Place, text: str, caplog: pytest.LogCaptureFixture) -> None:
    place.write(f"{place.key}/LATEST", text.encode())
    with at_most(64):
        assert place.restored() == b"last!!"
    assert any(word in caplog.text for word in ("LATEST", "not restoring"))
    assert max(len(record.getMessage()) for record in caplog.records) < 10_000


@pytest.mark.parametrize("text", LATESTS.values(), ids=LATESTS)
def test_the_command_line_ends_with_an_answer(tmp_path: Path, text: str) -> None:
    place = Place(str(tmp_path / "run"), None, tmp_path)
    place.write(f"{place.key}/LATEST", text.encode())
    for name in ("show", "log", "doctor"):
        assert command(name, place.url).exit_code in (0, 9)
    assert command("get", place.url, str(tmp_path / "got"), "--yes").exit_code == 0


@pytest.mark.parametrize(("change", "reason"), MANIFESTS.values(), ids=MANIFESTS)
def test_the_command_line_passes_over_a_hostile_manifest(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    place = Place(str(tmp_path / "run"), None, tmp_path)
    place.change(change)
    for name in ("show", "log", "doctor"):
        assert command(name, place.url).exit_code in (0, 9)
    verified = command("verify", place.url, "--all", "--deep")
    assert verified.exit_code == 4
    assert command("get", place.url, str(tmp_path / "got"), "--yes").exit_code == 0
    assert reason.rpartition(" ")[2] in verified.stdout


# What is written


def test_what_no_restore_would_read_is_not_written(world: World) -> None:
    saved = world.process(0).save({"model": "1"}, step=1)
    manifest = world.manifest(saved.reference)
    size = len(manifest.encode())
    assert manifest.encode(limit=size)
    with pytest.raises(InvalidArgumentError, match="its manifest has more than"):
        manifest.encode(limit=size - 1)
    with pytest.raises(InvalidArgumentError, match="LATEST would have more than 16 MiB"):
        world.person().use(saved.reference, note="n" * 16 * MIB)
    assert world.steps() == [1]
    assert not world.latest().held


@pytest.mark.parametrize("name", [".ckptptr-x", "a/.ckptptr-x/b", "n" * 256, "a/" * 256 + "b"])
def test_a_name_that_no_restore_would_write_is_refused(world: World, name: str) -> None:
    run = world.process(0)
    with (
        pytest.raises(InvalidArgumentError, match="cannot be a file of a checkpoint"),
        run.checkpoints.writer(name),
    ):
        pass


def test_the_longest_path_is_saved_and_restored(world: World) -> None:
    name = "/".join(["n" * 255] * 3)
    run = world.process(0)
    with run.checkpoints.writer(name) as written:
        written.write(b"1")
    assert list(world.process(1).restore() or ()) == [name]


def test_no_number_is_left_above_18_digits() -> None:
    highest = CheckpointId.new(10**18 - 1, 0, FakeClock())
    assert CheckpointId.match(str(highest)) == highest
    assert CheckpointId.match(f"{10**18}-a0000-abcdefgh") is None
    with pytest.raises(InvalidArgumentError, match="no number left"):
        CheckpointId.new(10**18, 0, FakeClock())


# Plain folders


def test_what_a_killed_restore_left_hidden_is_no_file_of_a_plain_folder(world: World) -> None:
    for name in ("model", ".ckptptr-restore-x/0", "a/.ckptptr-lock"):
        world.store.create(f"{world.home_of(0)}/{name}", b"1")
    assert world.process(1).restore() == {"model": "1"}


@pytest.mark.parametrize("name", ["n" * 256, "a/" * 300 + "b"])
def test_a_plain_folder_that_no_disk_can_have_is_passed_over(world: World, name: str) -> None:
    world.store.create(f"{world.home_of(1)}/{name}", b"1")
    world.store.create(f"{world.home_of(0)}/model", b"0")
    run = world.process(2)
    assert run.restore() == {"model": "0"}
    assert "cannot be put on a disk" in str(run.resolution)


def test_a_latest_that_lists_what_is_another_nodes_as_expired_deletes_nothing_there(
    world: World, tmp_path: Path
) -> None:
    other = World(tmp_path, f"{world.key}-other", beside=world)
    theirs = other.process(0).save({"model": "theirs"}, step=1).reference
    url = world.store.url(other.node(0).root.key(theirs))
    run = world.process(0)
    run.save({"model": "ours"}, step=1)
    document = json.loads(world.store.read(world.latest_key)[0])
    del document["checksum"]
    world.write(msgspec.json.encode(sealed.seal({**document, "doomed": [theirs, url]})))
    later = world.process(1)
    for step in (2, 3, 4):
        later.save({"model": f"ours {step}"}, step=step)
    assert other.is_whole(theirs)
    assert other.process(1).restore() == {"model": "theirs"}


# Many files


def test_a_manifest_that_claims_a_file_and_a_folder_is_found_without_all_folders_in_memory() -> None:
    deep = "/".join("d" * 7 for _ in range(250))
    files = [
        {"path": f"{number}/{deep}", "object": f"data/x/{number}", "size": 0, "xxh3_128": "0"}
        for number in range(300)
    ]
    document = {
        "id": "0000000001-a0000-abcdefgh",
        **{"attempt": 0, "seq": 1, "step": None, "created_at": "", "created_by": "", "total_bytes": 0},
        "files": [*files, {**files[0], "path": "299"}],
        "format": sealed.FORMAT,
    }
    body = msgspec.json.encode(sealed.seal(document))
    with at_most(16), pytest.raises(DamagedError, match="'299' as a file and as a folder"):
        Manifest.decode(body, CheckpointId.parse(document["id"]), "url")
