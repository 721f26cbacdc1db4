"""What there is to save on a disk, and what is left out."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from ckptptr.errors import InvalidArgumentError, LocalDiskError
from ckptptr.transfer.folder import Selection, folder, one_file
from ckptptr.transfer.plan import Local


def make(top: Path, *paths: str) -> Path:
    for path in paths:
        file = top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())
        file.chmod(0o644)
    return top


def planned(top: Path, **selection: Any) -> list[str]:
    files, _ = folder(top, Selection(**selection))
    return [file.path for file in files]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records]


# One file


def test_a_file_is_known_by_its_own_name(tmp_path: Path) -> None:
    path = make(tmp_path, "sub/model.pt") / "sub/model.pt"
    assert one_file(path) == Local("model.pt", str(path), 12)
    assert one_file(path, "weights/a.pt").path == "weights/a.pt"


@pytest.mark.parametrize("mode", [0o600, 0o755, 0o444, 0o000, 0o2755])
def test_unusual_permission_bits_are_kept(tmp_path: Path, mode: int) -> None:
    path = make(tmp_path, "run.sh") / "run.sh"
    path.chmod(mode)
    assert one_file(path).mode == mode & 0o777


def test_a_link_to_a_file_is_the_file_under_the_name_of_the_link(tmp_path: Path) -> None:
    make(tmp_path, "real/a.pt")
    (tmp_path / "last.pt").symlink_to("real/a.pt")
    assert (one_file(tmp_path / "last.pt").path, one_file(tmp_path / "last.pt").size) == ("last.pt", 9)


def test_a_file_that_is_not_there_is_a_matter_of_this_disk(tmp_path: Path) -> None:
    with pytest.raises(LocalDiskError, match=r"No such file.*missing\.pt"):
        one_file(tmp_path / "missing.pt")


@pytest.mark.parametrize("name", ["", "../a", "/a", "a//b"])
def test_a_file_cannot_be_given_a_name_that_leaves(tmp_path: Path, name: str) -> None:
    path = make(tmp_path, "a") / "a"
    if name:
        with pytest.raises(InvalidArgumentError, match="plain relative path"):
            one_file(path, name)
    else:
        assert one_file(path, name).path == "a"


# Folders


def test_a_folder_is_its_files_by_name_and_its_empty_folders(tmp_path: Path) -> None:
    make(tmp_path, "b.pt", "a/z.pt", "a/b/c.pt", "a.pt")
    (tmp_path / "logs/tb").mkdir(parents=True)
    (tmp_path / "a/empty").mkdir()
    files, folders = folder(tmp_path)
    assert files == [
        Local(path, str(tmp_path / path), len(path)) for path in ["a/b/c.pt", "a/z.pt", "a.pt", "b.pt"]
    ]
    assert folders == ["a/empty", "logs/tb"]


def test_an_empty_folder_is_nothing_at_all(tmp_path: Path) -> None:
    assert folder(tmp_path) == ([], [])


def test_unusual_names_are_kept_as_they_are(tmp_path: Path) -> None:
    names = [
        " a",
        "-rf",
        "a\nb",
        "a\\b",
        "größe",
        "gro\u0308ße",
        "模型",
        "🦙.pt",
        ".hidden",
        "...",
        "x" * 255,
    ]
    assert planned(make(tmp_path, *names)) == sorted(names)


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9", "wb"):
        pass
    with pytest.raises(InvalidArgumentError, match=r"not valid UTF-8: 'caf\\udce9'"):
        folder(tmp_path)


def test_a_deep_tree_is_walked_to_its_end(tmp_path: Path) -> None:
    path = "/".join(["d"] * 150 + ["file"])
    assert planned(make(tmp_path, path)) == [path]


def test_our_own_hidden_names_are_never_saved(tmp_path: Path) -> None:
    make(tmp_path, "a.pt", ".ckptptr-x/b.pt", "sub/.ckptptr-lock", ".ckptptr.toml")
    files, folders = folder(tmp_path)
    assert [file.path for file in files] == [".ckptptr.toml", "a.pt"]
    assert folders == ["sub"]


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_what_is_neither_file_nor_folder_is_left_out_and_not_opened(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    if kind == "fifo":
        os.mkfifo("odd")
    else:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind("odd")
    assert folder(tmp_path) == ([], [])
    assert warnings(caplog) == [f"not saved of {tmp_path}: odd (neither files nor folders)"]
    with pytest.raises(InvalidArgumentError, match=r"neither a file nor a folder.*odd"):
        one_file(tmp_path / "odd")


def test_a_folder_that_is_none_is_a_matter_of_this_disk(tmp_path: Path) -> None:
    make(tmp_path, "file")
    for name in ("file", "missing"):
        with pytest.raises(LocalDiskError, match=rf"cannot read the folder.*{name}"):
            folder(tmp_path / name)


# Symbolic links


def test_links_inside_the_folder_are_what_they_point_to(tmp_path: Path) -> None:
    make(tmp_path, "step-3/model.pt")
    (tmp_path / "last").symlink_to("step-3")
    (tmp_path / "model.pt").symlink_to(tmp_path / "step-3/model.pt")
    (tmp_path / "again").symlink_to("last")
    files, _ = folder(tmp_path)
    assert [file.path for file in files] == [
        "again/model.pt",
        "last/model.pt",
        "model.pt",
        "step-3/model.pt",
    ]
    assert {file.size for file in files} == {15}


def test_a_folder_that_is_itself_a_link_can_be_saved(tmp_path: Path) -> None:
    make(tmp_path, "step-3/model.pt", "step-3/sub/x")
    (tmp_path / "step-3/inside").symlink_to("sub")
    (tmp_path / "last").symlink_to("step-3")
    assert planned(tmp_path / "last") == ["inside/x", "model.pt", "sub/x"]


OUTSIDE = {
    "../outside": ["a", "link/secret"],
    "../outside/secret": ["a", "link"],
    "../top2/x": ["a", "link"],
}


@pytest.mark.parametrize("target", OUTSIDE)
def test_a_link_that_leaves_the_folder_is_followed_left_out_or_refused(
    tmp_path: Path, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "outside/secret", "top/a", "top2/x")
    (tmp_path / "top/link").symlink_to(target)
    assert planned(tmp_path / "top") == OUTSIDE[target]
    assert warnings(caplog) == []
    assert planned(tmp_path / "top", links="skip") == ["a"]
    assert warnings(caplog) == [f"not saved of {tmp_path}/top: link (links that leave the folder)"]
    with pytest.raises(InvalidArgumentError, match=r"leaves the folder that is saved.*top/link"):
        planned(tmp_path / "top", links="refuse")


def test_a_link_through_a_link_leaves_as_well(tmp_path: Path) -> None:
    make(tmp_path, "outside/secret", "top/a")
    (tmp_path / "top/one").symlink_to("two")
    (tmp_path / "top/two").symlink_to("../outside")
    assert planned(tmp_path / "top", links="skip") == ["a"]
    with pytest.raises(InvalidArgumentError, match="leaves the folder"):
        planned(tmp_path / "top", links="refuse")


@pytest.mark.parametrize("target", ["missing", "../missing", "link", "other"])
def test_a_link_that_leads_nowhere_is_left_out_or_refused(
    tmp_path: Path, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "top/a")
    (tmp_path / "top/link").symlink_to(target)
    (tmp_path / "top/other").symlink_to("link")
    assert planned(tmp_path / "top") == ["a"]
    assert warnings(caplog) == [f"not saved of {tmp_path}/top: link, other (links that lead nowhere)"]
    with pytest.raises(InvalidArgumentError, match=r"leads nowhere.*top/link"):
        planned(tmp_path / "top", links="refuse")


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_to_a_folder_above_ends(tmp_path: Path, target: str) -> None:
    make(tmp_path, "a/b/c")
    (tmp_path / "a/b/up").symlink_to(target)
    assert planned(tmp_path) == ["a/b/c"]
    with pytest.raises(InvalidArgumentError, match=r"goes round in a circle.*/up"):
        planned(tmp_path, links="refuse")


def test_links_that_lead_to_each_other_from_outside_end(tmp_path: Path) -> None:
    make(tmp_path, "one/a", "two/b")
    (tmp_path / "one/to").symlink_to("../two")
    (tmp_path / "two/to").symlink_to("../one")
    assert planned(tmp_path / "one") == ["a", "to/b"]


def test_no_other_word_says_what_becomes_of_links() -> None:
    with pytest.raises(InvalidArgumentError, match=r"links is 'folow'.*follow, skip or refuse"):
        Selection(links="folow")  # type: ignore[arg-type]


# What is not saved


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["*.tmp"], ["cache/x", "logs/a.log", "model.pt"]),
        (["logs/", "*.tmp"], ["cache/x", "model.pt"]),
        (["/cache", "# a comment", ""], ["logs/a.log", "logs/deep/b.tmp", "model.pt"]),
        (["*", "!model.pt"], ["model.pt"]),
        (["**/deep/**"], ["cache/x", "logs/a.log", "model.pt"]),
    ],
)
def test_what_patterns_match_is_left_out_in_silence(
    tmp_path: Path, patterns: list[str], left: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "model.pt", "logs/a.log", "logs/deep/b.tmp", "cache/x")
    assert planned(tmp_path, ignore=tuple(patterns)) == left
    assert warnings(caplog) == []


def test_a_folder_that_is_ignored_is_not_even_looked_at(tmp_path: Path) -> None:
    make(tmp_path, "a", "secret/b")
    (tmp_path / "secret").chmod(0)
    assert planned(tmp_path, ignore=("secret/",)) == ["a"]


def test_the_store_itself_is_never_saved(tmp_path: Path) -> None:
    make(tmp_path, "model.pt", "ckpt/LATEST", "sub/x")
    (tmp_path / "last").symlink_to("ckpt")
    store = (tmp_path / "ckpt",)
    assert planned(tmp_path, without=store) == ["model.pt", "sub/x"]
    with pytest.raises(InvalidArgumentError, match=r"holds the checkpoints themselves.*Save another folder"):
        planned(tmp_path / "ckpt", without=store)


def test_a_folder_that_vanishes_under_the_walk_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make(tmp_path, "a/x", "b/y")
    really = os.scandir

    def scandir(path: Any) -> object:
        if str(path) == str(tmp_path / "b"):
            (tmp_path / "b/y").unlink()
            (tmp_path / "b").rmdir()
        return really(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert planned(tmp_path) == ["a/x"]
    assert warnings(caplog) == [f"not saved of {tmp_path}: b (deleted meanwhile)"]


def test_a_file_has_its_time_in_nanoseconds(tmp_path: Path) -> None:
    path = make(tmp_path, "a") / "a"
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    assert one_file(path).mtime_ns == 1_700_000_000_123_456_789
