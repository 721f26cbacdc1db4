"""What people may write for a checkpoint, what it means, and what they may not name."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ckptptr.errors import InvalidArgumentError
from ckptptr.protocol.names import CheckpointId, manifest_key
from ckptptr.protocol.references import AtManifest, ById, Fresh, InFolder, Reference, Root
from tests.formats.strategies import ids, modest

NAME = "0000000017-a0003-k9x2abqz"
ID = CheckpointId.parse(NAME)

S3 = Root("s3", "b/data", ("other/seeds", "whole"))
DISK = Root("file", "/mnt/data", ("/mnt/seeds",))
MEMORY = Root("memory", "b/data")

MEANT: list[tuple[Root, str, Reference]] = [
    # a fresh start, an id
    (S3, "none", Fresh()),
    (S3, "NONE", Fresh()),
    (DISK, "  None\n", Fresh()),
    (S3, NAME, ById(ID)),
    (S3, f"{NAME}.json", ById(ID)),
    (DISK, f" {NAME}\t", ById(ID)),
    # relative to the root
    (S3, f"x/home/manifests/{NAME}.json", AtManifest("b/data/x/home", ID)),
    (DISK, f"x/home/manifests/{NAME}.json", AtManifest("/mnt/data/x/home", ID)),
    (MEMORY, f"x/home/manifests/{NAME}.json", AtManifest("b/data/x/home", ID)),
    (S3, f"home/manifests/{NAME}", AtManifest("b/data/home", ID)),
    (S3, f"home/manifests/{NAME}.pin", AtManifest("b/data/home", ID)),
    (S3, f"home/data/{NAME}", AtManifest("b/data/home", ID)),
    (S3, f"home/data/{NAME}/", AtManifest("b/data/home", ID)),
    (S3, f"home/data/{NAME}/sub/model.pt", AtManifest("b/data/home", ID)),
    (S3, "home", InFolder("b/data/home")),
    (S3, "home/", InFolder("b/data/home")),
    (S3, "home/manifests", InFolder("b/data/home")),
    (S3, "home/manifests/", InFolder("b/data/home")),
    (S3, "plain/folder of mine", InFolder("b/data/plain/folder of mine")),
    (S3, "data", InFolder("b/data/data")),
    (S3, "manifests-of-mine/x", InFolder("b/data/manifests-of-mine/x")),
    (S3, "home/data/2026", InFolder("b/data/home/data/2026")),
    (S3, "nöne", InFolder("b/data/nöne")),
    # in full
    (S3, f"s3://b/data/home/manifests/{NAME}.json", AtManifest("b/data/home", ID)),
    (S3, f"s3a://b/data/home/manifests/{NAME}.json", AtManifest("b/data/home", ID)),
    (S3, "S3://b/data", InFolder("b/data")),
    (S3, "s3://b/data", InFolder("b/data")),
    (S3, "s3://b/data/none", InFolder("b/data/none")),
    (MEMORY, "memory://b/elsewhere", InFolder("b/elsewhere")),
    (DISK, f"/mnt/data/home/manifests/{NAME}.json", AtManifest("/mnt/data/home", ID)),
    (DISK, "file:///mnt/data/home/", InFolder("/mnt/data/home")),
    (DISK, "local:///mnt/data/home", InFolder("/mnt/data/home")),
    (DISK, "/mnt/data", InFolder("/mnt/data")),
    # elsewhere in the bucket, and what CKPTPTR_ALLOW_ROOTS lists
    (S3, "s3://b/database/home", InFolder("b/database/home")),
    (S3, "s3://b/x", InFolder("b/x")),
    (S3, "s3://other/seeds/llama", InFolder("other/seeds/llama")),
    (S3, "s3://other/seeds", InFolder("other/seeds")),
    (S3, "s3://other/seeds/", InFolder("other/seeds")),
    (S3, "s3://whole/anything", InFolder("whole/anything")),
    (DISK, "/mnt/seeds/llama", InFolder("/mnt/seeds/llama")),
    (DISK, "file:///mnt/seeds", InFolder("/mnt/seeds")),
]

NO_PATH = "not a plain path"
OUTSIDE = "leaves the root.*CKPTPTR_ALLOW_ROOTS"
OTHER_STORE = "another kind of store"

REFUSED: list[tuple[Root, str, str]] = [
    (S3, "", "empty"),
    (S3, " \n ", "empty"),
    (S3, "..", NO_PATH),
    (S3, ".", NO_PATH),
    (S3, "../database/home", NO_PATH),
    (S3, "home/../../x", NO_PATH),
    (S3, "home/./x", NO_PATH),
    (S3, "home//x", NO_PATH),
    (S3, "s3://b/data/../../other", NO_PATH),
    (S3, "s3://b//data", NO_PATH),
    (S3, "s3://", NO_PATH),
    (S3, "home/a\x00b", NO_PATH),
    (S3, "home/a\nb", NO_PATH),
    (S3, "home/a\x1b[31mb", NO_PATH),
    (S3, "home/a\u202eb", NO_PATH),  # turns the text around on a screen
    (DISK, "..", NO_PATH),
    (DISK, "/mnt/data/../seeds2", NO_PATH),
    (DISK, "/", NO_PATH),
    (S3, "/data/home", "begins with a slash.*s3://bucket"),
    (MEMORY, "/data/home", "begins with a slash"),
    (S3, "gs://b/data/home", OTHER_STORE),
    (S3, "file:///b/data/home", OTHER_STORE),
    (DISK, "s3://mnt/data/home", OTHER_STORE),
    (MEMORY, "s3://b/data/home", OTHER_STORE),
    # the same beginning is not the same place
    (S3, "s3://bb/data/home", OUTSIDE),
    (S3, "s3://other/x", OUTSIDE),
    (S3, "s3://other", OUTSIDE),
    (S3, "s3://other/seedsmore/x", OUTSIDE),
    (S3, "s3://wholesale/x", OUTSIDE),
    (S3, "s3:///b/data/home", OUTSIDE),
    (DISK, "/mnt/database/home", OUTSIDE),
    (DISK, "/mnt", OUTSIDE),
    (DISK, "/etc/passwd", OUTSIDE),
    (DISK, "/mnt/seeds2/x", OUTSIDE),
    (DISK, "file:///etc/passwd", OUTSIDE),
    (DISK, "file://mnt/data/home", OUTSIDE),
    (DISK, "//mnt/data/home", OUTSIDE),
]


@pytest.mark.parametrize(("root", "text", "meant"), MEANT)
def test_people_name_a_checkpoint_in_many_ways(root: Root, text: str, meant: Reference) -> None:
    assert root.parse(text) == meant


@pytest.mark.parametrize(("root", "text", "reason"), REFUSED)
def test_what_must_not_be_named_is_refused_with_the_reason(root: Root, text: str, reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        root.parse(text)


def test_references_inside_the_root_are_relative_and_others_are_whole() -> None:
    assert S3.ref("b/data/home/x") == "home/x"
    assert S3.ref("b/database/x") == "s3://b/database/x"
    assert S3.ref("b/data") == "s3://b/data"
    assert DISK.ref("/mnt/data/home/x") == "home/x"
    assert DISK.ref("/mnt/seeds/x") == "/mnt/seeds/x"


@pytest.mark.parametrize("name", ["none", "NONE", NAME, f"{NAME}.json"])
def test_a_folder_that_is_called_like_something_else_is_written_in_full(name: str) -> None:
    assert S3.ref(f"b/data/{name}") == f"s3://b/data/{name}"
    assert S3.ref(f"b/data/x/{name}") == f"x/{name}"


@modest
@given(ids, st.sampled_from([S3, DISK, MEMORY]), st.sampled_from(["home", "a/b c", "manifests", "data"]))
def test_what_the_machine_writes_it_reads_back(id: CheckpointId, root: Root, folder: str) -> None:
    home = f"{root.base}/{folder}"
    assert root.parse(root.ref(manifest_key(home, id))) == AtManifest(home, id)


@modest
@given(st.from_regex(r"[a-zA-Z0-9 ._:-]{1,6}(/[a-zA-Z0-9._:-]{1,6}){0,3}", fullmatch=True))
def test_any_folder_that_may_be_named_is_read_back(folder: str) -> None:
    assume(not {".", ".."} & set(folder.split("/")) and folder == folder.strip())
    for root in (S3, DISK, MEMORY):
        key = f"{root.base}/{folder}"
        assert root.key(root.ref(key)) == key
