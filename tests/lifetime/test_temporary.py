from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ckptptr.errors import LocalDiskError
from ckptptr.lifetime.temporary import TemporaryFolders

KILLED = """
import os, signal
from ckptptr.lifetime.temporary import TemporaryFolders
folders = TemporaryFolders()
(folders.new() / "model").touch()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_process_left_goes_and_what_a_living_one_has_stays(temporary: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED], env={**os.environ, "TMPDIR": str(temporary)}, check=False)
    (left,) = temporary.iterdir()
    first, second = TemporaryFolders(), TemporaryFolders()
    folders = [first.new(), first.new(), second.new()]
    assert not left.exists()
    assert all(folder.is_dir() for folder in folders)

    first.remove()
    assert [folder.is_dir() for folder in folders] == [False, False, True]
    again = first.new()
    del first, second
    assert not again.exists()
    assert [*temporary.iterdir()] == []


def test_a_forked_process_has_folders_of_its_own(temporary: Path) -> None:
    folders = TemporaryFolders()
    ours = folders.new()
    if (child := os.fork()) == 0:
        theirs = folders.new()
        folders.remove()
        os._exit(0 if ours.is_dir() and not theirs.exists() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert ours.is_dir()
    folders.remove()
    assert [*temporary.iterdir()] == []


def test_a_machine_without_a_temporary_folder_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", refuse)
    with pytest.raises(LocalDiskError, match=r"no temporary folder.*Set TMPDIR"):
        TemporaryFolders().new()
