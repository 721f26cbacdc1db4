"""What a save changes: a folder or bytes replace the content, a file is added to it."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from ckptptr.errors import InvalidArgumentError, LocalDiskError
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.manifest import FileRecord, Manifest
from ckptptr.protocol.names import BYTES_NAME
from ckptptr.session.content import Change, Content, change_of
from ckptptr.transfer.plan import Local


def files(*paths: str) -> dict[str, Local]:
    return {path: Local(path, path.encode(), len(path)) for path in paths}


def records(*paths: str) -> dict[str, FileRecord]:
    return {path: FileRecord(path, f"data/x/{path}", 1, "0" * 32) for path in paths}


# What can be saved


@pytest.mark.parametrize(
    "content",
    [
        b"abc",
        bytearray(b"abc"),
        memoryview(b"abc"),
        memoryview(b"xabcx")[1:-1],
        io.BytesIO(b"abc"),
        io.BufferedReader(io.BytesIO(b"abc")),  # type: ignore[arg-type]
    ],
    ids=lambda content: type(content).__name__,
)
def test_bytes_and_readers_replace_the_content_by_one_file_named_as_stock_flytekit_names_it(
    content: bytes,
) -> None:
    assert change_of(content) == Change({BYTES_NAME: Local("_dst_cp", b"abc", 3)}, replaces=True)


def test_bytes_that_change_after_the_save_do_not_change_what_is_saved() -> None:
    buffer = bytearray(b"abc")
    taken = change_of(buffer)
    buffer[0] = 0
    assert taken.files[BYTES_NAME].source == b"abc"


def test_a_reader_is_read_from_where_it_stands() -> None:
    reader = io.BytesIO(b"abc")
    reader.seek(1)
    assert change_of(reader).files[BYTES_NAME].source == b"bc"


def test_an_open_file_is_its_bytes_and_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"abc")
    with (tmp_path / "model.pt").open("rb") as file:
        assert [*change_of(file).files] == [BYTES_NAME]


@pytest.mark.parametrize("spell", [str, Path])
def test_a_file_is_added_under_its_own_name(tmp_path: Path, spell: type) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"abc")
    path.chmod(0o644)
    assert change_of(spell(path)) == Change({"model.pt": Local("model.pt", str(path), 3)}, replaces=False)


def test_a_folder_replaces_the_content(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/model.pt").write_bytes(b"abc")
    (tmp_path / "logs").mkdir()
    taken = change_of(str(tmp_path))
    assert [*taken.files] == ["sub/model.pt"]
    assert (taken.folders, taken.replaces) == (("logs",), True)


def test_an_empty_folder_replaces_the_content_by_nothing(tmp_path: Path) -> None:
    assert change_of(tmp_path) == Change(replaces=True)


class Text(io.StringIO):
    pass


class Silent:
    def read(self) -> None:
        return None


@pytest.mark.parametrize("content", [None, 3, 1.5, [b"abc"], {"a": 1}, object(), Text("abc"), Silent()])
def test_what_is_neither_path_nor_bytes_nor_reader_is_refused(content: object) -> None:
    with pytest.raises(InvalidArgumentError, match="Save a path, bytes, or a reader opened in binary mode"):
        change_of(content)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", ["missing", "missing/model.pt", "x" * 5000, "a\0b"])
def test_a_path_where_nothing_is_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no such file or folder to save"):
        change_of(tmp_path / path)


def test_an_empty_path_is_not_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgumentError, match="the path to save is empty"):
        change_of("")
    assert change_of(".") == Change(replaces=True)


def test_a_link_to_nothing_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("missing")
    with pytest.raises(InvalidArgumentError, match=r"no such file or folder to save.*/link"):
        change_of(tmp_path / "link")


def test_a_pipe_is_refused_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidArgumentError, match="neither a file nor a folder"):
        change_of(tmp_path / "pipe")


def test_a_folder_that_cannot_be_read_is_a_matter_of_this_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(LocalDiskError, match=f"Permission denied.*{tmp_path.name}"):
        change_of(tmp_path)


# Several saves as one


def then(*changes: Change) -> Change:
    first, *rest = changes
    for later in rest:
        first = first.then(later)
    return first


FOLDER = Change(files("a", "b/c"), ("logs",), replaces=True)


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (Change(files("d")), Change(files("a", "b/c", "d"), ("logs",), replaces=True)),
        (FOLDER, FOLDER),
        (Change(files("x"), replaces=True), Change(files("x"), replaces=True)),
        (Change(replaces=True), Change(replaces=True)),
        (Change(), FOLDER),
        # a path is a file or a folder, never both
        (Change(files("b")), Change(files("a", "b"), ("logs",), replaces=True)),
        (Change(files("a/x")), Change(files("b/c", "a/x"), ("logs",), replaces=True)),
        (Change(files("logs")), Change(files("a", "b/c", "logs"), replaces=True)),
        (Change(files("logs/x")), Change(files("a", "b/c", "logs/x"), replaces=True)),
    ],
)
def test_a_later_change_is_put_upon_an_earlier_one(later: Change, expected: Change) -> None:
    assert FOLDER.then(later) == expected


def test_of_the_same_file_saved_twice_the_later_counts() -> None:
    again = {"a": Local("a", b"again", 5)}
    assert then(Change(files("a", "b")), Change(again)).files == {**files("b"), **again}


def test_added_files_alone_replace_nothing() -> None:
    assert then(Change(), Change(files("a")), Change(files("b"))) == Change(files("a", "b"))


# What stays beside what is added

BESIDE: list[tuple[list[str], list[str], list[str]]] = [
    (["a", "b/c"], ["d"], ["a", "b/c"]),
    (["a", "b/c"], ["a"], ["b/c"]),
    (["a", "b/c"], ["b"], ["a"]),
    (["a", "b/c/d"], ["b/c"], ["a"]),
    (["a", "b"], ["b/c"], ["a"]),
    (["a", "b"], ["b/c/d", "a/x"], []),
    (["ab", "a.b", "a/b"], ["a"], ["ab", "a.b"]),
    (["a"], [], ["a"]),
    ([], ["a"], []),
]


@pytest.mark.parametrize(("there", "added", "stays"), BESIDE)
def test_a_path_is_a_file_or_a_folder_and_never_both(
    there: list[str], added: list[str], stays: list[str]
) -> None:
    content = Content("home/manifests/x.json", "data/home", records(*there))
    assert content.beside(added) == Content("home/manifests/x.json", "data/home", records(*stays))


@pytest.mark.parametrize(
    ("there", "added", "stays"),
    [*BESIDE, (["logs"], ["logs/x"], []), (["logs"], ["logs"], []), (["a/logs"], ["b/logs"], ["a/logs"])],
)
def test_an_empty_folder_goes_where_a_file_takes_its_place(
    there: list[str], added: list[str], stays: list[str]
) -> None:
    assert Content(folders=tuple(there)).beside(added).folders == tuple(stays)


def test_files_that_this_process_took_back_do_not_stay() -> None:
    content = Content(files=records("a", "b/c", "d"), folders=("logs",))
    assert content.beside(["x"], without={"a", "b/c"}) == Content(files=records("d"), folders=("logs",))


# What a restore makes the content


def found(**changes: object) -> Found:
    made = {"reference": "home/manifests/x.json", "home": "data/home", "files": tuple(records("a").values())}
    return Found(**{**made, **changes})  # type: ignore[arg-type]


def test_the_content_is_what_was_restored() -> None:
    manifest = Manifest(
        id="x", attempt=0, seq=0, step=None, created_at="", created_by="", files=(), folders=("logs",),
        total_bytes=0,
    )  # fmt: skip
    content = Content.of(found(manifest=manifest))
    assert content == Content("home/manifests/x.json", "data/home", records("a"), ("logs",))


def test_the_content_of_a_plain_folder_has_the_digests_that_the_restore_found() -> None:
    digested = FileRecord("a", "a", 1, "f" * 32)
    assert Content.of(found(), [digested]).files == {"a": digested}


def test_before_anything_was_saved_or_restored_there_is_no_content() -> None:
    assert Content() == Content(reference="", home="", files={}, folders=())
