"""Links that lead out of a run on a disk, what is no file, and `CKPTPTR_STRICT`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import ckptptr
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.nodes.plain import root_at
from ckptptr.stores.memory import MemoryStore
from tests.cli.conftest import run as command

KNOWN = (ExitCode.OK, ExitCode.DAMAGED, ExitCode.PROBLEMS, ExitCode.NOTHING_FOUND)


class Run:
    """A run on a disk with two checkpoints, and a folder beside it that is no part of it."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder, self.beside, self._out = tmp_path / "run", tmp_path / "beside", tmp_path / "out"
        self.beside.mkdir()
        (self.beside / "secret").write_bytes(b"secret")
        with ckptptr.open(self.folder, attempt=0) as checkpoints:
            self.first = checkpoints.save(b"first", step=1)
            self.last = checkpoints.save(b"last!!", step=2)

    @property
    def latest(self) -> Path:
        return self.folder / "LATEST"

    @property
    def manifest(self) -> Path:
        return Path(self.last.url)

    @property
    def payload(self) -> Path:
        (found,) = (self.folder / "attempts/0/data" / self.manifest.stem).iterdir()
        return found

    def moved(self, path: Path) -> Path:
        """Move a file or folder out of the run, and leave a link."""
        there = self.beside / path.name
        path.rename(there)
        path.symlink_to(there)
        return there

    def restored(self) -> bytes | None:
        """What a restore finds; then it saves, so that LATEST is written."""
        with ckptptr.open(self.folder, attempt=1) as checkpoints:
            if checkpoints.restore(self._out) is None:
                return None
            (file,) = self._out.iterdir()
            found = file.read_bytes()
            self.said = str(checkpoints.resolution)
            checkpoints.save(b"next", step=3)
        return found


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def secret_as_payload(run: Run) -> None:
    path = run.payload
    path.unlink()
    path.symlink_to(run.beside / "secret")


OUT: dict[str, tuple[Callable[[Run], object], bytes]] = {
    "payload": (lambda run: run.moved(run.payload), b"first"),
    "payload that is another file": (secret_as_payload, b"first"),
    "the folder of the payload": (lambda run: run.moved(run.payload.parent), b"first"),
    "a manifest": (lambda run: run.moved(run.manifest), b"first"),
    "LATEST": (lambda run: run.moved(run.latest), b"last!!"),
}


@pytest.mark.parametrize(("change", "expected"), OUT.values(), ids=OUT)
def test_a_link_that_leads_out_of_the_run_is_passed_over_with_its_reason(
    run: Run, change: Callable[[Run], object], expected: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    change(run)
    before = {path.name: path.read_bytes() for path in run.beside.rglob("*") if path.is_file()}
    assert run.restored() == expected
    assert f"a symbolic link leads out of {run.folder}" in caplog.text
    assert {path.name: path.read_bytes() for path in run.beside.rglob("*") if path.is_file()} == before
    assert run.latest.is_file()
    assert not run.latest.is_symlink()


@pytest.mark.parametrize(("change", "expected"), OUT.values(), ids=OUT)
def test_the_command_line_says_so_too(
    run: Run,
    tmp_path: Path,
    change: Callable[[Run], object],
    expected: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    change(run)
    got = command("get", str(run.folder), str(tmp_path / "got"), "--yes")
    assert f"a symbolic link leads out of {run.folder}" in f"{got.stdout}{got.stderr}{caplog.text}"
    assert got.exit_code == 0
    assert next((tmp_path / "got").iterdir()).read_bytes() == expected
    for name in ("show", "log", "doctor", "verify"):
        assert command(name, str(run.folder)).exit_code in KNOWN


def test_links_inside_the_run_and_of_the_run_itself_are_followed(run: Run, tmp_path: Path) -> None:
    inside = run.folder / "moved"
    run.payload.rename(inside)
    path = run.folder / "attempts/0/data" / run.manifest.stem
    path.mkdir(exist_ok=True)
    (path / "_dst_cp").symlink_to(inside)
    elsewhere = tmp_path / "elsewhere"
    run.folder.rename(elsewhere)
    run.folder.symlink_to(elsewhere)
    assert run.restored() == b"last!!"


def test_what_is_listed_in_allow_roots_may_be_linked_to(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.moved(run.payload)
    monkeypatch.setenv("CKPTPTR_ALLOW_ROOTS", str(run.beside))
    assert run.restored() == b"last!!"


def test_nothing_is_written_or_deleted_through_a_link_that_leads_out(run: Run) -> None:
    there = run.moved(run.folder / "attempts")
    before = sorted(path for path in there.rglob("*"))
    with (
        ckptptr.open(run.folder, attempt=1) as checkpoints,
        pytest.raises(ckptptr.DamagedError, match="a symbolic link leads out"),
    ):
        checkpoints.save(b"next", step=3)
    assert sorted(path for path in there.rglob("*")) == before


def test_a_link_below_a_node_of_flyte_stays_in_the_root(tmp_path: Path) -> None:
    url = tmp_path / "data/_ckptptr/p/d/e/n0"
    with ckptptr.open(url, attempt=0) as checkpoints:
        checkpoints.save(b"1", step=1)
    (tmp_path / "LATEST").write_bytes((url / "LATEST").read_bytes())
    (url / "LATEST").unlink()
    (url / "LATEST").symlink_to(tmp_path / "LATEST")
    (home,) = (tmp_path / "data").glob("*/*/_flytecheckpoints")
    for target in (url, home):
        shown = command("show", str(target))
        assert f"a symbolic link leads out of {tmp_path / 'data'}" in shown.stdout.replace("\n", " ")


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("become", [as_pipe, as_device], ids=["a pipe", "a device"])
@pytest.mark.parametrize(
    ("what", "expected"),
    [("payload", b"first"), ("manifest", b"first"), ("latest", b"last!!")],
    ids=["payload", "manifest", "LATEST"],
)
def test_what_is_no_file_is_passed_over_at_once(
    run: Run, tmp_path: Path, become: Callable[[Path], None], what: str, expected: bytes
) -> None:
    become(getattr(run, what))
    for name in ("show", "log", "doctor", "verify"):
        assert command(name, str(run.folder)).exit_code in KNOWN
    assert command("get", str(run.folder), str(tmp_path / "got"), "--yes").exit_code == 0
    assert run.restored() == expected


@pytest.mark.parametrize("become", [as_pipe, as_device], ids=["a pipe", "a device"])
def test_a_lock_that_is_no_file_is_not_waited_for(run: Run, become: Callable[[Path], None]) -> None:
    lock = run.folder / ".ckptptr-lock"
    become(lock)
    with ckptptr.open(run.folder, attempt=1, read_only=True) as checkpoints:
        assert checkpoints.restore() is not None


# CKPTPTR_STRICT


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPTPTR_STRICT", "1")


@pytest.mark.usefixtures("strict")
def test_in_strict_mode_a_plain_folder_is_not_restored(tmp_path: Path) -> None:
    home = tmp_path / "run/attempts/0"
    home.mkdir(parents=True)
    (home / "model").write_bytes(b"1")
    with ckptptr.open(tmp_path / "run", attempt=1) as checkpoints:
        assert checkpoints.restore(tmp_path / "out") is None
        assert "a plain folder has no digests, and CKPTPTR_STRICT is set" in str(checkpoints.resolution)
    said = command("log", str(tmp_path / "run"))
    assert "a plain folder has no digests" in said.stdout.replace("\n", " ")


@pytest.mark.usefixtures("strict")
def test_in_strict_mode_a_plain_folder_is_no_seed(tmp_path: Path) -> None:
    (tmp_path / "seed").mkdir()
    (tmp_path / "seed/model").write_bytes(b"1")
    with (
        ckptptr.open(tmp_path / "run", attempt=0, seed=str(tmp_path / "seed")) as checkpoints,
        pytest.raises(ckptptr.NotFoundError, match="no checkpoint that can be restored"),
    ):
        checkpoints.restore(tmp_path / "out")


@pytest.mark.usefixtures("strict")
def test_in_strict_mode_a_seed_may_be_elsewhere_and_names_only_what_it_has(run: Run, tmp_path: Path) -> None:
    with ckptptr.open(tmp_path / "other", attempt=0, seed=str(run.folder)) as checkpoints:
        assert checkpoints.restore(tmp_path / "out") is not None
    with ckptptr.open(tmp_path / "third", attempt=0) as checkpoints:
        third = checkpoints.save(b"third", step=9)
    run.latest.write_text(third.url)
    with ckptptr.open(tmp_path / "fourth", attempt=0, seed=str(run.folder)) as checkpoints:
        checkpoints.restore(tmp_path / "out4")
        assert "the reference leaves the root, and CKPTPTR_STRICT is set" in str(checkpoints.resolution)
    assert [path.read_bytes() for path in (tmp_path / "out4").iterdir()] == [b"last!!"]


@pytest.mark.usefixtures("strict")
def test_in_strict_mode_allow_roots_allows_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ckptptr.open(tmp_path / "other", attempt=0) as checkpoints:
        other = checkpoints.save(b"other", step=9)
    monkeypatch.setenv("CKPTPTR_ALLOW_ROOTS", str(tmp_path))
    run.latest.write_text(other.url)
    assert run.restored() == b"last!!"
    assert "the reference leaves the root, and CKPTPTR_STRICT is set" in run.said


@pytest.mark.usefixtures("strict")
def test_in_strict_mode_another_folder_of_the_bucket_is_not_named() -> None:
    store = MemoryStore()
    root = root_at(store, "bucket/run", os.environ)
    assert root.key("attempts/0") == "bucket/run/attempts/0"
    for reference in ("memory://bucket/other/attempts/0", "memory://bucket/run2", "memory://else/run"):
        with pytest.raises(ckptptr.InvalidArgumentError, match="CKPTPTR_STRICT is set"):
            root.key(reference)
