from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.errors import InvalidArgumentError, LocalDiskError
from ckptptr.transfer.plan import Local, Range, block_for, folder, one_file, ranges


def make(top: Path, *paths: str) -> Path:
    for path in paths:
        file = top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())
        file.chmod(0o644)
    return top


def planned(top: Path) -> list[str]:
    files, _ = folder(top)
    return [file.path for file in files]


# Ranges


@given(st.integers(0, 2000), st.integers(1, 300))
def test_ranges_cover_every_byte_once_and_in_order(size: int, block: int) -> None:
    parts = [*ranges(size, block)]
    assert [byte for part in parts for byte in range(part.start, part.start + part.length)] == [*range(size)]
    assert all(part.length == block for part in parts[:-1])


def test_nothing_has_no_ranges_and_a_whole_block_has_one() -> None:
    assert [*ranges(0, 8)] == []
    assert [*ranges(8, 8)] == [Range(0, 8)]


# One file


def test_a_file_is_known_by_its_own_name(tmp_path: Path) -> None:
    path = make(tmp_path, "sub/model.pt") / "sub/model.pt"
    assert one_file(path) == Local("model.pt", path, 12)
    assert one_file(path, "weights/a.pt").path == "weights/a.pt"


@pytest.mark.parametrize("mode", [0o600, 0o755, 0o444, 0o000, 0o2755])
def test_unusual_permission_bits_are_kept(tmp_path: Path, mode: int) -> None:
    path = make(tmp_path, "run.sh") / "run.sh"
    path.chmod(mode)
    assert one_file(path).mode == mode


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
        Local(path, tmp_path / path, len(path)) for path in ["a/b/c.pt", "a/z.pt", "a.pt", "b.pt"]
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
def test_what_is_neither_file_nor_folder_is_refused_and_not_opened(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    if kind == "fifo":
        os.mkfifo("odd")
    else:
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind("odd")
    with pytest.raises(InvalidArgumentError, match=r"neither a file nor a folder.*odd"):
        folder(tmp_path)


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


@pytest.mark.parametrize("target", ["../outside", "../outside/secret", "/etc", "/etc/passwd", "../top2/x"])
def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path, target: str) -> None:
    make(tmp_path, "outside/secret", "top/a", "top2/x")
    (tmp_path / "top/link").symlink_to(target)
    with pytest.raises(InvalidArgumentError, match=r"leaves the folder that is saved.*top/link"):
        folder(tmp_path / "top")


def test_a_link_through_a_link_cannot_leave_either(tmp_path: Path) -> None:
    make(tmp_path, "outside/secret", "top/a")
    (tmp_path / "top/one").symlink_to("two")
    (tmp_path / "top/two").symlink_to("../outside")
    with pytest.raises(InvalidArgumentError, match="leaves the folder"):
        folder(tmp_path / "top")


@pytest.mark.parametrize("target", ["missing", "../missing", "link", "other"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, target: str) -> None:
    make(tmp_path, "top/a")
    (tmp_path / "top/link").symlink_to(target)
    (tmp_path / "top/other").symlink_to("link")
    with pytest.raises(InvalidArgumentError, match=r"leads nowhere.*top/link"):
        folder(tmp_path / "top")


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_to_a_folder_above_goes_round_in_a_circle(tmp_path: Path, target: str) -> None:
    make(tmp_path, "a/b/c")
    (tmp_path / "a/b/up").symlink_to(target)
    with pytest.raises(InvalidArgumentError, match=r"goes round in a circle.*/up"):
        folder(tmp_path)


# Blocks

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size", "store_likes", "block"),
    [
        (0, 8 * MIB, 8 * MIB),
        (9 * MIB, 8 * MIB, 9 * MIB),  # two blocks are one request
        (16 * MIB, 8 * MIB, 16 * MIB),
        (16 * MIB + 1, 8 * MIB, 8 * MIB),
        (17 * MIB, 16 * MIB, 16 * MIB),  # but never a larger one than this
        (70 << 30, 8 * MIB, 8 * MIB),
        (1 << 40, 8 * MIB, 117 * MIB),
        (5 << 40, 16 * MIB, 583 * MIB),
    ],
)
def test_blocks_are_as_the_store_likes_them_unless_they_were_too_many(
    size: int, store_likes: int, block: int
) -> None:
    assert block_for(size, store_likes) == block
    assert -(-size // block) <= 10_000
