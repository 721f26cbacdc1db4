from __future__ import annotations

import itertools
import operator
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from ckptptr.errors import LocalDiskError, StoreUnavailableError
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.memory import MemoryStore
from ckptptr.testing import Fault, FaultyStore
from ckptptr.transfer import upload
from ckptptr.transfer.digest import digest_of
from ckptptr.transfer.folder import folder, one_file
from ckptptr.transfer.plan import MIB, Local
from ckptptr.transfer.progress import Progress
from ckptptr.transfer.upload import upload_all
from tests.memory import peak

BLOCK = 16


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(block_size=BLOCK)


def written(folder: Path, size: int, name: str = "model.pt") -> Local:
    path = folder / name
    path.write_bytes(bytes(number % 251 for number in range(size)))
    os.utime(path, (0, 0))  # long ago: the clock of a file system ticks slowly
    return one_file(path)


def source(file: Local) -> Path:
    assert isinstance(file.source, str)
    return Path(file.source)


def whole(file: Local) -> FileRecord:
    """Its record, where the path is the object."""
    digest = digest_of(source(file))
    return FileRecord(file.path, file.path, file.size, digest, file.mode, file.mtime_ns)


SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 10 * BLOCK, 10 * BLOCK + 3]


@pytest.mark.parametrize("size", SIZES)
def test_what_arrives_is_the_file_and_the_digest_is_of_what_was_sent(
    store: MemoryStore, tmp_path: Path, size: int
) -> None:
    file = written(tmp_path, size)
    assert upload_all(store, "home", [file], str) == [whole(file)]
    assert store.read("home/model.pt")[0] == source(file).read_bytes()


@pytest.mark.parametrize("size", SIZES)
def test_bytes_are_sent_as_a_file_would_be(store: MemoryStore, size: int) -> None:
    whole = bytes(number % 251 for number in range(size))
    assert upload_all(store, "home", [Local("x", whole, size)], str) == [
        FileRecord("x", "x", size, digest_of(whole))
    ]
    assert store.read("home/x")[0] == whole


def test_each_file_gets_its_own_record_whatever_their_sizes(store: MemoryStore, tmp_path: Path) -> None:
    files = [written(tmp_path, size, f"{place}") for place, size in enumerate([*SIZES, *SIZES[::-1]])]
    sent = upload_all(store, "home", files, "data/{}".format)
    expected = {file.path: replace(whole(file), object=f"data/{file.path}") for file in files}
    assert len(sent) == len(files)
    assert {record.path: record for record in sent} == expected


def test_nothing_to_upload_asks_nothing() -> None:
    store = FaultyStore(MemoryStore())
    assert upload_all(store, "home", [], str) == []
    assert store.log == []


def test_blocks_are_whole_however_little_the_disk_gives_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = upload.os.read
    monkeypatch.setattr(upload.os, "read", lambda descriptor, length: read(descriptor, min(length, 5)))
    sizes: list[int] = []

    class Watching(MemoryStore):
        def upload(self, _: str, blocks: Iterable[bytes]) -> bool:
            sizes.extend(len(block) for block in blocks)
            return True

    upload_all(Watching(block_size=BLOCK), "home", [written(tmp_path, 4 * BLOCK + 3)], str)
    assert sizes == [BLOCK, BLOCK, BLOCK, BLOCK, 3]


# What arrived


class Unproven(FaultyStore):
    """A store that answers without a checksum; `loses` what is under these names, or its last byte."""

    def __init__(self, loses: Mapping[str, bool] = {}) -> None:
        super().__init__(MemoryStore(block_size=BLOCK))
        self._loses = loses

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        body = b"".join(blocks)
        loses_all = self._loses.get(key)
        if not loses_all:
            super().upload(key, [body if loses_all is None else body[:-1]])
        return False


def test_what_no_checksum_has_proven_is_looked_up_in_one_listing(tmp_path: Path) -> None:
    store = Unproven()
    files = [written(tmp_path, size, f"file{size}") for size in (0, 1, 3 * BLOCK)]
    upload_all(store, "home", files, "data/1/folder of {0}/{0}".format)
    assert [(r.op, r.key) for r in store.log if r.op != "upload"] == [("list", "home/data/1")]


@pytest.mark.parametrize(("loses_all", "has"), [(True, "nothing"), (False, "4")])
def test_what_did_not_arrive_whole_is_an_error(tmp_path: Path, loses_all: bool, has: str) -> None:
    store = Unproven({"home/b": loses_all})
    with pytest.raises(StoreUnavailableError, match=f"sent 5 bytes, the store has {has}") as caught:
        upload_all(store, "home", [written(tmp_path, 5, name) for name in "abc"], str)
    assert caught.value.key == "memory://home/b"


# Files that do not hold still


def touched_after_first_block(touch: Callable[[], object]) -> MemoryStore:
    class Touching(MemoryStore):
        def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
            return super().upload(key, self._with_touch(blocks))

        def _with_touch(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
            for number, block in enumerate(blocks):
                if number == 0:
                    touch()
                yield block

    return Touching(block_size=BLOCK)


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(BLOCK + 1)


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other bytes, same size")


def test_a_file_that_grows_while_it_is_read_is_sent_as_long_as_it_was_once(tmp_path: Path) -> None:
    file = written(tmp_path, 4 * BLOCK)
    before, as_it_was = source(file).read_bytes(), whole(file)
    store = touched_after_first_block(lambda: append(source(file)))
    assert upload_all(store, "home", [file], str) == [as_it_was]
    assert store.read("home/model.pt")[0] == before


def test_a_log_that_never_stops_growing_is_sent_to_where_it_was(store: MemoryStore, tmp_path: Path) -> None:
    file = written(tmp_path, 1)
    stop = threading.Event()

    def grow() -> None:
        while not stop.is_set():
            append(source(file))

    with ThreadPoolExecutor(1) as pool:
        growing = pool.submit(grow)
        try:
            (sent,) = upload_all(store, "home", [file], str)
        finally:
            stop.set()
        growing.result()
    assert source(file).read_bytes().startswith(store.read("home/model.pt")[0])
    assert len(store.read("home/model.pt")[0]) == sent.size


@pytest.mark.parametrize("touch", [shrink, overwrite])
def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, touch: Callable[[Path], None]
) -> None:
    file = written(tmp_path, 4 * BLOCK)
    touches = iter([source(file)])
    store = touched_after_first_block(lambda: [touch(path) for path in touches])
    (sent,) = upload_all(store, "home", [file], str)
    now = source(file).read_bytes()
    assert store.read("home/model.pt")[0] == now
    assert sent == whole(one_file(source(file)))
    assert sent.size == len(now)


def test_a_file_that_changes_each_time_is_an_error_that_names_it_and_nothing_is_stored(
    tmp_path: Path,
) -> None:
    file = written(tmp_path, 4 * BLOCK)
    changes = itertools.count()

    def change() -> None:
        source(file).write_bytes(f"{next(changes):<64}".encode())

    store = touched_after_first_block(change)
    with pytest.raises(LocalDiskError, match=r"changed each of the 4 times.*/model\.pt\. .*leave it out"):
        upload_all(store, "home", [file], str)
    assert [*store.list("home")] == []


@pytest.mark.parametrize("touch", [append, shrink, overwrite])
@pytest.mark.parametrize("size", [0, 4 * BLOCK])
def test_a_file_that_changed_since_it_was_planned_is_sent_as_it_is(
    store: MemoryStore, tmp_path: Path, touch: Callable[[Path], None], size: int
) -> None:
    file = written(tmp_path, size)
    touch(source(file))
    upload_all(store, "home", [file], str)
    assert store.read("home/model.pt")[0] == source(file).read_bytes()


def test_a_larger_file_of_the_same_name_is_never_sent_in_part(store: MemoryStore, tmp_path: Path) -> None:
    file = written(tmp_path, 4 * BLOCK)
    (tmp_path / "new").write_bytes(b"n" * 9 * BLOCK)
    (tmp_path / "new").replace(source(file))
    upload_all(store, "home", [file], str)
    assert store.read("home/model.pt")[0] == b"n" * 9 * BLOCK


def test_a_file_that_is_replaced_while_it_is_read_is_sent_as_it_was(tmp_path: Path) -> None:
    """A rename leaves the old file open and whole: what is sent is one of the two, never a mix."""
    file = written(tmp_path, 4 * BLOCK)
    before, as_it_was = source(file).read_bytes(), whole(file)

    def replace_file() -> None:
        (tmp_path / "new").write_bytes(b"new")
        (tmp_path / "new").replace(source(file))

    store = touched_after_first_block(replace_file)
    assert upload_all(store, "home", [file], str) == [as_it_was]
    assert store.read("home/model.pt")[0] == before


@pytest.mark.parametrize("size", [1, 4 * BLOCK])
def test_a_file_that_vanished_is_a_matter_of_this_disk(store: MemoryStore, tmp_path: Path, size: int) -> None:
    file = written(tmp_path, size)
    source(file).unlink()
    with pytest.raises(LocalDiskError, match=r"there is no such file any more: .*model"):
        upload_all(store, "home", [file], str)
    assert [*store.list("home")] == []


def test_a_file_of_a_folder_that_vanished_is_left_out_with_one_warning(
    store: MemoryStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(8):
        written(tmp_path, 1, f"{number}")
    files, _ = folder(tmp_path)
    for file in files[1:]:
        source(file).unlink()
    sent = upload_all(store, "home", files, str)
    assert sent == [whole(files[0])]
    assert [record.message for record in caplog.records] == [
        f"not saved of {tmp_path}: 1, 2, 3, 4, 5 and 2 more (deleted meanwhile)"
    ]


def test_files_that_vanished_with_their_folder_are_an_error(store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    written(tmp_path / "model", 1)
    files, _ = folder(tmp_path / "model")
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(LocalDiskError, match=r"there is no such file any more: .*/model/model\.pt"):
        upload_all(store, "home", files, str)


def test_a_disk_that_fails_in_the_middle_is_told_and_nothing_is_stored(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    file = written(tmp_path, 4 * BLOCK)
    monkeypatch.setattr(upload.os, "read", fail)
    with pytest.raises(LocalDiskError, match=r"cannot read the file \(Input/output error\): .*/model\.pt"):
        upload_all(store, "home", [file], str)
    assert [*store.list("home")] == []


def test_a_store_that_fails_is_not_blamed_on_the_disk(tmp_path: Path) -> None:
    store = FaultyStore(MemoryStore(block_size=BLOCK), [Fault(when="during", op="upload")])
    with pytest.raises(StoreUnavailableError):
        upload_all(store, "home", [written(tmp_path, 4 * BLOCK)], str)


def test_the_first_failure_stops_the_files_that_have_not_begun(tmp_path: Path) -> None:
    store = FaultyStore(MemoryStore(block_size=BLOCK), [Fault(op="upload", times=1000)])
    files = [written(tmp_path, 8, str(number)) for number in range(1000)]
    with pytest.raises(StoreUnavailableError):
        upload_all(store, "home", files, str)
    assert len(store.log) < 500


# Memory


class Draining(MemoryStore):
    """Takes blocks one at a time and keeps none; notes how many uploads ran side by side."""

    def __init__(self, block_size: int) -> None:
        super().__init__(block_size=block_size)
        self.most_at_once = self._now = 0
        self._count = threading.Lock()

    def upload(self, _: str, blocks: Iterable[bytes]) -> bool:
        with self._count:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        for _ in blocks:
            pass
        with self._count:
            self._now -= 1
        return True


def test_memory_is_bounded_by_a_few_blocks_however_large_the_file(tmp_path: Path) -> None:
    block = 256 * 1024
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(100 * block)
    assert peak(lambda: upload_all(Draining(block), "home", [one_file(path)], str)) < 4 * block


@pytest.mark.parametrize(("size", "at_once"), [(BLOCK, 8), (2 * BLOCK, 4), (3 * BLOCK, 3)])
def test_the_larger_files_are_the_fewer_go_side_by_side(tmp_path: Path, size: int, at_once: int) -> None:
    meeting = threading.Barrier(at_once, timeout=5)

    class Meeting(Draining):
        def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
            meeting.wait()
            return super().upload(key, self._met(blocks))

        def _met(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
            meeting.wait()
            yield from blocks

    store = Meeting(BLOCK)
    files = [written(tmp_path, size, f"file{number}") for number in range(2 * at_once)]
    small_scale = ((BLOCK, 8, 8), (2 * BLOCK, 4, 4), (None, 3, 3))
    upload_all(store, "home", files, str, side_by_side=small_scale)
    assert store.most_at_once == at_once


def test_where_the_first_answers_are_late_many_small_files_go_side_by_side(tmp_path: Path) -> None:
    meeting = threading.Barrier(32, timeout=60)  # nothing is answered before as many have come

    class Late(MemoryStore):
        def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
            meeting.wait()
            return super().upload(key, blocks)

    files = [written(tmp_path, 1, f"file{number}") for number in range(64)]
    assert len(upload_all(Late(block_size=BLOCK), "home", files, str)) == 64


@pytest.mark.parametrize(("seconds", "parts"), [([1.0, 0.1], [1] * 6), ([1.0, 2.0], [1, 1, 1, 1, 2, 2])])
def test_where_no_request_was_fast_the_following_files_of_a_few_blocks_go_in_blocks(
    seconds: list[float], parts: list[int]
) -> None:
    size = 10 * MIB
    told: list[int] = []

    now = 0.0

    class Slow(MemoryStore):
        def upload(self, _: str, blocks: Iterable[bytes]) -> bool:
            nonlocal now
            told.append(len(list(blocks)))
            now += seconds[len(told) % len(seconds)]
            return True

    files = [Local(name, bytes(size), size) for name in "abcdef"]
    showing = partial(Progress, "saving", clock=lambda: now)
    upload_all(Slow(block_size=4 * MIB), "home", files, str, showing, side_by_side=((size, 1, 1),))
    assert told == parts


def test_what_begins_before_it_is_known_how_fast_a_request_is_goes_in_blocks() -> None:
    size, names = 5 * MIB, "abcdefghijkl"
    told: list[int] = []
    six_have_begun, all_have_begun = threading.Barrier(6, timeout=5), threading.Event()

    class Meeting(MemoryStore):
        def upload(self, _: str, blocks: Iterable[bytes]) -> bool:
            count = len(list(blocks))
            told.append(count)
            number = len(told)
            if number == len(names):
                all_have_begun.set()
            if number <= 6:
                six_have_begun.wait()
            return count == 1 or all_have_begun.wait(5)

    files = [Local(name, bytes(size), size) for name in names]
    showing = partial(Progress, "saving", clock=lambda: 0.0)  # all of them are fast
    upload_all(Meeting(block_size=2 * MIB), "home", files, str, showing, side_by_side=((size, 6, 6),))
    assert sorted(told[:6]) == [1, 1, 1, 1, 2, 2]
    assert told[6:] == [1] * 6


@pytest.mark.parametrize(("count", "at_once"), [(1, 40), (2, 15), (3, 10), (9, 10)])
def test_of_several_large_files_each_has_its_share_of_the_blocks_under_way(
    tmp_path: Path, count: int, at_once: int
) -> None:
    class Hinted(Draining):
        def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
            hints.append(operator.length_hint(blocks))
            return super().upload(key, blocks)

    hints: list[int] = []
    files = [written(tmp_path, 40 * BLOCK, f"file{number}") for number in range(count)]
    upload_all(Hinted(BLOCK), "home", files, str, side_by_side=((None, 3, 3),))
    assert hints == [at_once] * count


@pytest.mark.parametrize(
    ("size", "count"), [(0, 0), (1, 1), (4 * BLOCK, 1), (4 * BLOCK + 1, 5), (6 * BLOCK, 6)]
)
def test_a_store_is_told_how_many_blocks_there_will_be(tmp_path: Path, size: int, count: int) -> None:
    told: list[tuple[int, int]] = []

    class Listening(MemoryStore):
        def upload(self, _: str, blocks: Iterable[bytes]) -> bool:
            told.append((operator.length_hint(blocks), len(list(blocks))))
            return True

    upload_all(Listening(block_size=BLOCK), "home", [written(tmp_path, size)], str)
    assert told == [(count, count)]
