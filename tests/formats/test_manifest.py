from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.errors import DamagedError, InvalidArgumentError, UnsupportedFormatError
from ckptptr.protocol.blocks import Blocks
from ckptptr.protocol.manifest import (
    FileRecord,
    Lineage,
    Manifest,
    check_path,
    folders_above,
    is_plain_path,
    plain_metadata,
)
from ckptptr.protocol.names import CheckpointId
from ckptptr.protocol.sealed import seal
from tests.formats.strategies import manifests, modest

URL = "s3://b/home/manifests/x.json"
NAME = "0000000017-a0003-k9x2abqz"
ID = CheckpointId.parse(NAME)
DIGEST = "99aa06d3014798d86001c324468d497f"

MANIFEST = Manifest(
    id=NAME,
    attempt=3,
    seq=17,
    step=12000,
    created_at="2026-11-23T15:20:05Z",
    created_by="pod-name/7/abc123",
    lineage=Lineage(project="p", domain="d", execution="e", node="n0", task="train"),
    metadata={"loss": 0.25},
    files=(
        FileRecord("bin/run.sh", f"data/{NAME}/bin/run.sh", 5, DIGEST, 0o755),
        FileRecord("model.pt", "data/0000000016-a0003-p0q1rstu/model.pt", 7, DIGEST),
    ),
    folders=("logs",),
    total_bytes=12,
)

TEXT = """\
{
 "id": "0000000017-a0003-k9x2abqz",
 "attempt": 3,
 "seq": 17,
 "step": 12000,
 "created_at": "2026-11-23T15:20:05Z",
 "created_by": "pod-name/7/abc123",
 "parent": null,
 "copied_from": null,
 "lineage": {
  "project": "p",
  "domain": "d",
  "execution": "e",
  "node": "n0",
  "task": "train"
 },
 "metadata": {
  "loss": 0.25
 },
 "files": [
  {
   "path": "bin/run.sh",
   "object": "data/0000000017-a0003-k9x2abqz/bin/run.sh",
   "size": 5,
   "xxh3_128": "99aa06d3014798d86001c324468d497f",
   "mode": 493
  },
  {
   "path": "model.pt",
   "object": "data/0000000016-a0003-p0q1rstu/model.pt",
   "size": 7,
   "xxh3_128": "99aa06d3014798d86001c324468d497f"
  }
 ],
 "folders": [
  "logs"
 ],
 "total_bytes": 12,
 "format": "ckptptr/1",
 "checksum": "762dc6ba5db5671eb230e8762565588e"
}
"""


def sealed(**changes: object) -> bytes:
    """A manifest with a right checksum that says something else."""
    document = {**json.loads(TEXT), **changes}
    return json.dumps(seal({key: value for key, value in document.items() if value is not ...})).encode()


def file(**changes: object) -> dict[str, object]:
    return {"path": "a", "object": f"data/{NAME}/a", "size": 1, "xxh3_128": DIGEST, **changes}


def test_the_text_of_a_manifest_is_fixed() -> None:
    assert MANIFEST.encode().decode() == TEXT


def test_the_text_of_blocks_is_fixed() -> None:
    blocks = Blocks(8 << 20, ("0" * 32, "1" * 32))
    large = FileRecord("a", f"data/{NAME}/a", 9 << 20, DIGEST, blocks=blocks)
    text = msgspec.structs.replace(MANIFEST, files=(large,)).encode().decode()
    before, _, after = text.partition('   "blocks": {')
    assert before.endswith(f"""   "size": 9437184,\n   "xxh3_128": "{DIGEST}",\n""")
    assert after.startswith(f"""
    "size": 8388608,
    "xxh3_128": [
     "{"0" * 32}",
     "{"1" * 32}"
    ]
   }}
""")


@modest
@given(manifests())
def test_a_manifest_is_read_back_as_it_was_written(manifest: Manifest) -> None:
    body = manifest.encode()
    read = Manifest.decode(body, manifest.checkpoint_id, URL)
    assert msgspec.structs.replace(read, checksum="") == manifest
    assert read.encode() == body


def test_a_change_of_one_byte_is_damage_or_leaves_the_meaning() -> None:
    body = TEXT.encode()
    meant = Manifest.decode(body, ID, URL)
    for place in range(len(body)):
        for other in {body[place] ^ 1 << bit for bit in range(8)} | {*b' 0a"\n'} - {body[place]}:
            changed = body[:place] + bytes([other]) + body[place + 1 :]
            try:
                read = Manifest.decode(changed, ID, URL)
            except (DamagedError, UnsupportedFormatError):
                continue
            assert read == meant, (place, other)
            assert chr(body[place]).isspace(), (place, other)  # white space is all that may change


@modest
@given(st.binary())
def test_whatever_the_bytes_a_manifest_that_is_none_is_damage(body: bytes) -> None:
    with pytest.raises(DamagedError):
        Manifest.decode(body, ID, URL)


@modest
@given(manifests(), st.data())
def test_a_manifest_that_was_cut_off_is_damage(manifest: Manifest, data: st.DataObject) -> None:
    body = manifest.encode()
    end = data.draw(st.integers(0, len(body) - 3))
    with pytest.raises(DamagedError, match="the manifest is not JSON"):
        Manifest.decode(body[:end], manifest.checkpoint_id, URL)


DAMAGED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not JSON"),
    "a download of zeros": (b"\0" * 100, "not JSON"),
    "not UTF-8": (b'{"id": "\xff"}', "not JSON"),
    "too deep": (b"[" * 100_000, "not JSON.*recursion"),
    "an array": (b"[]", "not a JSON object"),
    "a string": (b'"x"', "not a JSON object"),
    "no checksum": (json.dumps(seal({})).replace("checksum", "sum").encode(), "checksum"),
    "another number": (TEXT.replace("12000", "12001").encode(), "does not have the checksum"),
    "a foreign format": (sealed(format="foo"), "unknown format 'foo'"),
    "another id": (
        sealed(id="0000000018-a0003-k9x2abqz"),
        "the manifest says it is 0000000018-a0003-k9x2abqz",
    ),
    "no id at all": (sealed(id="mine"), "the manifest says it is mine"),
    "no files": (sealed(files=...), "incomplete .*files"),
    "step not whole": (sealed(step=1.5), "incomplete .*step"),
    "a path that leaves": (sealed(files=[file(path="../a")]), r"'\.\./a', which is not allowed"),
    "an absolute path": (sealed(files=[file(path="/etc/passwd")]), "not allowed"),
    "an object of another home": (sealed(files=[file(object="../other/data/x")]), "not allowed"),
    "an object that is no payload": (sealed(files=[file(object="manifests/x.json")]), "not allowed"),
    "an object that leaves data": (sealed(files=[file(object="data/../manifests/x")]), "not allowed"),
    "an absolute object": (sealed(files=[file(object="/data/x")]), "not allowed"),
    "a negative size": (sealed(files=[file(size=-1)]), "not allowed"),
    "no digest": (sealed(files=[file(xxh3_128="")]), "not allowed"),
    "a mode of more than permissions": (sealed(files=[file(mode=0o100644)]), "not allowed"),
    "blocks of no size": (sealed(files=[file(blocks={"size": 0, "xxh3_128": []})]), "'a' with blocks"),
    "blocks of another size": (
        sealed(files=[file(size=17, blocks={"size": 8, "xxh3_128": [DIGEST] * 2})]),
        "'a' with blocks that are not those of its 17 bytes",
    ),
    "blocks that are none": (sealed(files=[file(blocks=[DIGEST])]), "incomplete .*blocks"),
    "a file twice": (sealed(files=[file(), file()]), "names a file twice"),
    "a file in a file": (
        sealed(files=[file(path="a/b/c"), file(path="a/b")]),
        "'a/b' as a file and as a folder",
    ),
    "a file that is a folder": (sealed(files=[file(path="logs")]), "'logs' as a file and as a folder"),
    "a folder in a file": (sealed(files=[file()], folders=["a/b"]), "'a' as a file and as a folder"),
    "a folder that leaves": (sealed(folders=["a/../.."]), r"the folder 'a/\.\./\.\.', which is outside"),
}


@pytest.mark.parametrize(("body", "reason"), DAMAGED.values(), ids=DAMAGED)
def test_a_manifest_that_no_machine_wrote_is_damage_and_says_why(body: bytes, reason: str) -> None:
    with pytest.raises(DamagedError, match=reason) as caught:
        Manifest.decode(body, ID, URL)
    assert caught.value.key == URL


@pytest.mark.parametrize(
    "body",
    [sealed(format="ckptptr/2"), b'{"format": "ckptptr/2"}', sealed(format="ckptptr/3.1", files="elsewhere")],
)
def test_a_manifest_of_a_newer_version_asks_for_an_upgrade(body: bytes) -> None:
    with pytest.raises(UnsupportedFormatError, match="Upgrade ckptptr"):
        Manifest.decode(body, ID, URL)


def test_a_minor_version_may_say_more_than_this_one_reads() -> None:
    read = Manifest.decode(sealed(format="ckptptr/1.1", shards=[1, 2]), ID, URL)
    assert read.files == MANIFEST.files


@pytest.mark.parametrize(
    "unsayable",
    [
        {"metadata": {"path": Path}},
        {"metadata": {"model": object()}},
        {"metadata": {"name": "\udc80"}},
        {"step": 1.5},
        {"step": "12000"},
    ],
)
def test_what_json_cannot_say_is_refused_before_it_is_stored(unsayable: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="the step or the metadata cannot be saved"):
        msgspec.structs.replace(MANIFEST, **unsayable).encode()


class Scalar:
    """What numpy and torch call a number; `numpy.longdouble` answers `item()` with itself."""

    def __init__(self, *value: Any) -> None:
        self.value = value[0] if value else self

    def item(self) -> Any:
        return self.value


def test_metadata_become_what_json_will_give_back() -> None:
    given = {"loss": Scalar(0.25), "tags": ("a", None), 3: True, "nan": float("nan"), "big": 10**30}
    assert plain_metadata(given) == {
        "loss": 0.25,
        "tags": ["a", None],
        "3": True,
        "nan": None,
        "big": 10**30,
    }


@pytest.mark.parametrize("value", [object(), Path("x"), Scalar(object()), Scalar(), "\udc80", {None: 1}])
def test_metadata_that_json_cannot_say_are_refused(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="the metadata cannot be said in JSON"):
        plain_metadata({"x": value})


def test_a_loss_that_is_not_a_number_is_stored_as_null() -> None:
    body = msgspec.structs.replace(MANIFEST, metadata={"loss": float("nan")}).encode()
    assert Manifest.decode(body, ID, URL).metadata == {"loss": None}


def test_nothing_is_written_that_would_be_called_damage() -> None:
    both = (FileRecord("a", f"data/{NAME}/a", 1, DIGEST), FileRecord("a/b", f"data/{NAME}/b", 1, DIGEST))
    with pytest.raises(InvalidArgumentError, match="names 'a' as a file and as a folder"):
        msgspec.structs.replace(MANIFEST, files=both).encode()


@pytest.mark.parametrize("path", ["a", "a/b", "a b", "ünï/ço.de", ".hidden", "a\\b", "...", "a\nb", "-"])
def test_a_plain_path_stays_inside(path: str) -> None:
    assert is_plain_path(path)
    assert check_path(path) == path


@pytest.mark.parametrize("path", ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "./a", "a/./b", "a\0b"])
def test_a_path_that_could_leave_is_refused(path: str) -> None:
    assert not is_plain_path(path)
    with pytest.raises(InvalidArgumentError, match="plain relative path"):
        check_path(path)


def test_a_name_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"not valid UTF-8: 'caf\\udce9'"):
        check_path("caf\udce9")


def test_a_path_runs_through_the_folders_above_it() -> None:
    assert [*folders_above("a/b/c")] == ["a", "a/b"]
    assert [*folders_above("a")] == []


@pytest.mark.parametrize(
    ("ours", "theirs", "difference"),
    [
        (Lineage(), Lineage(node="n1"), ""),
        (Lineage(node="n0"), Lineage(), ""),
        (Lineage(node="n0", task="train"), Lineage(node="n0", execution="e"), ""),
        (Lineage(node="n0"), Lineage(node="n1"), "it belongs to node 'n1', this is 'n0'"),
        (
            Lineage(execution="e", task="train"),
            Lineage(execution="e", task="eval"),
            "it belongs to task 'eval', this is 'train'",
        ),
    ],
)
def test_lineages_differ_only_where_both_say_something(
    ours: Lineage, theirs: Lineage, difference: str
) -> None:
    assert ours.differs_from(theirs) == difference
