"""Putting files in place, on disks that cannot do everything and in folders that are not empty."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ckptptr
from ckptptr.protocol.manifest import FileRecord
from ckptptr.transfer.place import Destination

TIME = 1_700_000_000_123_456_789


def record(path: str, size: int = 1, mode: int | None = None, mtime_ns: int | None = None) -> FileRecord:
    return FileRecord(path, f"data/x/{path}", size, "0" * 32, mode, mtime_ns)


def put(folder: Path, *records: FileRecord, without: tuple[Path, ...] = ()) -> Path:
    destination = Destination(folder, without)
    destination.make_room(records, ())
    for each in records:
        (folder.parent / "staged").write_bytes(b"1")
        destination.put(each, folder.parent / "staged")
    return folder


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.getMessage() for entry in caplog.records]


def refuse(number: int):  # type: ignore[no-untyped-def]
    def refusing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refusing


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.EROFS])
def test_a_disk_that_keeps_neither_bits_nor_times_is_a_warning_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    monkeypatch.setattr(os, "chmod", refuse(number))
    monkeypatch.setattr(os, "utime", refuse(number))
    put(tmp_path / "out", *(record(name, mode=0o755, mtime_ns=TIME) for name in "abc"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b", "c"]
    assert len(messages(caplog)) == 2
    assert "does not keep permission bits" in messages(caplog)[0]
    assert "does not keep the times of files" in messages(caplog)[1]


def test_bits_and_times_that_are_right_are_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = put(tmp_path / "out", record("a", mode=0o755, mtime_ns=TIME)) / "a"
    monkeypatch.setattr(os, "chmod", refuse(errno.EPERM))
    monkeypatch.setattr(os, "utime", refuse(errno.EPERM))
    Destination(tmp_path / "out").put(record("a", mode=0o755, mtime_ns=TIME), None)
    assert (there.stat().st_mode & 0o777, there.stat().st_mtime_ns) == (0o755, TIME)


def test_no_bit_but_those_of_permission_is_restored(tmp_path: Path) -> None:
    there = put(tmp_path / "out", record("a", mode=0o4755)) / "a"
    assert there.stat().st_mode & 0o7777 == 0o755


def test_no_link_in_the_destination_is_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (outside / "a").write_bytes(b"not ours")
    (out / "sub").symlink_to(outside)
    (out / "a").symlink_to(outside / "a")
    (out / "loop").symlink_to("loop")

    assert not Destination(out).has(record("sub/a", 8))
    put(out, record("sub/a"), record("a", mode=0o600, mtime_ns=TIME), record("loop"))

    assert (outside / "a").read_bytes() == b"not ours"
    assert (outside / "a").stat().st_mtime_ns != TIME
    assert [(out / name).read_bytes() for name in ("sub/a", "a", "loop")] == [b"1", b"1", b"1"]
    assert not any(path.is_symlink() for path in out.rglob("*"))
    assert messages(caplog) == [f"replaced by a folder, and not followed: the link {out}/sub"]


def test_a_folder_in_the_way_of_a_file_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "out/b").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        put(tmp_path / "out", record("a"), record("b"))
    assert not (tmp_path / "out/a").exists()


# Through the front door


def test_times_come_back_also_of_what_did_not_change(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "a").write_bytes(b"a")
    with ckptptr.open(tmp_path / "run") as checkpoints:
        for seconds in (1_000, 2_000):
            os.utime(model / "a", (seconds, seconds))
            checkpoints.save(model)
            checkpoints.restore(tmp_path / "out")
            assert (tmp_path / "out/a").stat().st_mtime == seconds


@pytest.mark.parametrize("where", ["out/ckpt", "out"])
def test_a_store_in_the_folder_that_is_saved_is_neither_saved_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/model").write_text("1")
    with ckptptr.open(where) as checkpoints:
        for step in range(4):
            checkpoints.save("out", step=step)
        checkpoints.restore("restored")
        checkpoints.restore("out")
    assert [path.name for path in (tmp_path / "restored").rglob("*") if path.is_file()] == ["model"]
    assert messages(caplog) == []


def test_a_checkpoint_with_a_store_in_it_never_writes_over_the_one_that_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = put(tmp_path / "out", record("ckpt/LATEST"), record("model"))
    live = out / "ckpt"
    destination = Destination(out, without=[live / "LATEST", live / "attempts"])
    assert [destination.takes(record(name)) for name in ("model", "ckpt/LATEST", "ckpt/attempts/0/x")] == [
        True,
        False,
        False,
    ]
    assert messages(caplog) == [
        f"not restored into {out}: ckpt/LATEST and the like, the store itself is there"
    ]


IN_ASCII = r"""
import os, sys, ckptptr
top = sys.argv[1]
with ckptptr.open(f"{top}/run") as checkpoints:
    checkpoints.save(f"{top}/model")
    checkpoints.restore(f"{top}/out")
"""


@pytest.mark.pythons
def test_names_survive_a_locale_that_cannot_say_them(tmp_path: Path) -> None:
    (tmp_path / "model/größe").mkdir(parents=True)
    (tmp_path / "model/größe/模型").write_text("1")
    environ = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", IN_ASCII, str(tmp_path)], env=environ, check=True)
    assert (tmp_path / "out/größe/模型").read_text() == "1"
    for command in ("verify", "doctor"):
        done = subprocess.run(
            [sys.executable, "-m", "ckptptr.cli", command, str(tmp_path / "run")],
            env=environ,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert " damaged" not in done.stdout
