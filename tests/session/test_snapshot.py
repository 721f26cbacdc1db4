"""A background save has its content as it was when it was asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ckptptr.errors import LocalDiskError
from ckptptr.session import snapshot as snapshots
from ckptptr.session.content import change_of
from ckptptr.session.snapshot import Snapshot, snapshot


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / "deep" / "b").write_text("b")
    return folder


@pytest.fixture(autouse=True)
def staging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this machine, on the same disk."""
    folder = tmp_path / "staging"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def contents(taken: Snapshot) -> dict[str, bytes]:
    files = taken.change.files
    return {
        p: f.source if isinstance(f.source, bytes) else Path(f.source).read_bytes() for p, f in files.items()
    }


def hidden(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.startswith(".ckptptr-")]


def test_what_is_changed_or_deleted_later_is_saved_as_it_was(model: Path) -> None:
    taken = snapshot(change_of(model), consume=False)
    (model / "a").write_text("changed")
    for path in (model / "deep" / "b", model / "a"):
        path.unlink()
    assert contents(taken) == {"a": b"a", "deep/b": b"b"}
    assert (taken.change.replaces, taken.change.files["a"].size) == (True, 1)


def test_it_stands_where_no_program_deletes_it_and_goes_with_release(model: Path, staging: Path) -> None:
    taken = snapshot(change_of(model), consume=False)
    assert len(hidden(staging)) == 1
    assert hidden(model.parent) == []
    taken.release()
    assert hidden(staging) == []
    assert contents(Snapshot(change_of(model))) == {"a": b"a", "deep/b": b"b"}


def test_a_single_file_too(model: Path, staging: Path) -> None:
    taken = snapshot(change_of(model / "a"), consume=False)
    (model / "a").write_text("changed")
    assert contents(taken) == {"a": b"a"}
    assert len(hidden(staging)) == 1


@pytest.mark.parametrize("consume", [True, False])
def test_a_temporary_folder_that_goes_with_all_around_it_takes_nothing_along(consume: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model").mkdir()
        (Path(folder) / "model" / "a").write_text("a")
        taken = snapshot(change_of(Path(folder) / "model"), consume=consume)
    assert contents(taken) == {"a": b"a"}


def test_a_setting_says_where(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.setenv("CKPTPTR_STAGING", str(tmp_path / "mine"))
    snapshot(change_of(model), consume=False)
    assert len(hidden(tmp_path / "mine")) == 1


def test_on_a_disk_of_its_own_it_stands_above_all_that_is_saved(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = tmp_path / "volume"
    (model.parent.parent / "work").rename(volume)
    device = os.stat(volume).st_dev

    def is_on(path: Path) -> int:
        return device + (0 if Path(path).is_relative_to(volume) else 1)

    monkeypatch.setattr(snapshots, "_device", is_on)
    taken = snapshot(change_of(volume / "model" / "deep"), consume=True)
    assert [path.parent for path in hidden(volume)] == [volume]
    assert contents(taken) == {"b": b"b"}


def test_no_temporary_folder_is_an_error_that_says_what_to_set(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", refuse)
    with pytest.raises(LocalDiskError, match=r"no temporary folder.*Set TMPDIR.*CKPTPTR_STAGING"):
        snapshot(change_of(model), consume=False)


@pytest.mark.parametrize("consume", [True, False])
def test_a_folder_that_vanished_is_an_error_that_says_so(model: Path, consume: bool) -> None:
    planned = change_of(model)
    shutil.rmtree(model)
    with pytest.raises(LocalDiskError, match=r"no such file any more: .*/model/.*delete it after save\(\)"):
        snapshot(planned, consume=consume)


@pytest.mark.parametrize("consume", [True, False])
def test_a_file_that_vanished_is_left_out_with_a_warning(
    model: Path, consume: bool, caplog: pytest.LogCaptureFixture
) -> None:
    planned = change_of(model)
    (model / "a").unlink()
    assert contents(snapshot(planned, consume=consume)) == {"deep/b": b"b"}
    assert [record.message for record in caplog.records] == [f"not saved of {model}: a (deleted meanwhile)"]


def test_the_time_of_a_file_is_that_of_the_file_and_not_of_its_copy(model: Path) -> None:
    os.utime(model / "a", ns=(1, 1_000_000_007))
    for consume in (False, True):
        assert snapshot(change_of(model), consume=consume).change.files["a"].mtime_ns == 1_000_000_007


def test_bytes_are_taken_as_they_are_and_need_no_folder(tmp_path: Path) -> None:
    state = bytearray(b"state")
    taken = snapshot(change_of(state), consume=False)
    state[:] = b"other"
    assert [*contents(taken).values()] == [b"state"]
    assert hidden(tmp_path) == []


def test_files_that_are_given_away_are_renamed_and_not_copied(model: Path) -> None:
    inode = (model / "a").stat().st_ino
    taken = snapshot(change_of(model), consume=True)
    assert [path for path in model.rglob("*") if path.is_file()] == []
    source = taken.change.files["a"].source
    assert isinstance(source, str)
    assert Path(source).stat().st_ino == inode
    assert contents(taken) == {"a": b"a", "deep/b": b"b"}


def test_a_symbolic_link_that_is_given_away_is_saved_as_what_it_points_to_and_stays(model: Path) -> None:
    (model / "link").symlink_to("a")
    taken = snapshot(change_of(model), consume=True)
    assert contents(taken) == {"a": b"a", "deep/b": b"b", "link": b"a"}
    assert [path.name for path in model.iterdir() if path.is_symlink()] == ["link"]


def test_when_the_disk_refuses_everything_is_where_it_was(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def refuse_b(self: Path, target: Path) -> Path:
        if self.name == "b":
            raise PermissionError(1, "Operation not permitted")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse_b)
    with pytest.raises(LocalDiskError, match=r"Operation not permitted.*deep/b"):
        snapshot(change_of(model), consume=True)
    assert (model / "a").read_text() == "a"
    assert (model / "deep" / "b").read_text() == "b"
    assert hidden(model.parent) == []


def test_a_file_that_grew_since_it_was_planned_is_taken_as_it_is(model: Path) -> None:
    planned = change_of(model)
    (model / "a").write_text("longer")
    assert contents(snapshot(planned, consume=False))["a"] == b"longer"


def test_where_nothing_may_be_written_on_its_disk_the_copy_is_made_in_the_temporary_folder(
    model: Path, staging: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    taken = snapshot(change_of(model), consume=False)
    assert contents(taken) == {"a": b"a", "deep/b": b"b"}
    assert len(hidden(staging)) == 1
    assert hidden(model.parent) == []


@pytest.mark.parametrize("kernel_copies", [True, False])
def test_large_files_are_copied_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel_copies: bool
) -> None:
    if not kernel_copies:
        monkeypatch.delattr(os, "copy_file_range")
    body = os.urandom(5_000_000)
    (tmp_path / "large").write_bytes(body)
    assert contents(snapshot(change_of(tmp_path / "large"), consume=False)) == {"large": body}


def test_what_a_killed_process_left_behind_goes_and_what_a_living_one_holds_stays(
    model: Path, staging: Path
) -> None:
    script = (
        "import os, sys\nfrom ckptptr.session.content import change_of\n"
        "from ckptptr.session.snapshot import snapshot\n"
        f"kept = snapshot(change_of({str(model)!r}), consume=False); os._exit(9)"
    )
    environ = {**os.environ, "TMPDIR": str(staging)}
    subprocess.run([sys.executable, "-c", script], check=False, env=environ)
    (left_behind,) = hidden(staging)
    held = snapshot(change_of(model), consume=False)
    assert not left_behind.exists()
    other = snapshot(change_of(model), consume=False)
    assert contents(held) == contents(other) == {"a": b"a", "deep/b": b"b"}


def test_two_after_each_other_are_one(model: Path) -> None:
    both = snapshot(change_of(model / "a"), consume=False).then(
        snapshot(change_of(model / "deep" / "b"), consume=True)
    )
    assert contents(both) == {"a": b"a", "b": b"b"}
    both.release()
    assert hidden(model.parent) == []


def test_what_was_given_away_comes_back(model: Path) -> None:
    taken = snapshot(change_of(model), consume=True)
    taken.give_back()
    assert contents(Snapshot(change_of(model))) == {"a": b"a", "deep/b": b"b"}
    assert hidden(model.parent) == []


def test_unless_another_file_has_taken_its_place_then_it_is_kept_where_it_is_told(
    model: Path, staging: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken = snapshot(change_of(model), consume=True)
    (model / "a").write_text("newer")
    taken.give_back()
    (kept,) = staging.glob("ckptptr-kept-*")
    assert caplog.messages == [f"files that were given to it cannot be put back and are kept in {kept}"]
    assert [path.read_text() for path in kept.iterdir()] == ["a"]
    assert (model / "a").read_text() == "newer"
    snapshot(change_of(model), consume=False).release()
    assert kept.exists()


def test_what_a_later_one_replaces_is_released(model: Path) -> None:
    both = snapshot(change_of(model), consume=False).then(snapshot(change_of(b"state"), consume=False))
    assert [*contents(both).values()] == [b"state"]
    assert hidden(model.parent) == []
