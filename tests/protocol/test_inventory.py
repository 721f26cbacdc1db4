"""What counts as a plain folder of files, and what never does."""

from __future__ import annotations

import pytest

from ckptptr.errors import DamagedError
from ckptptr.protocol.inventory import plain_files
from ckptptr.stores.memory import MemoryStore

ID = "0000000017-a0003-k9x2abqz"


def with_objects(*keys: str) -> MemoryStore:
    store = MemoryStore()
    for key in keys:
        store.upload(f"b/{key}", [b"x"])
    return store


def test_the_files_of_a_folder_are_taken_as_they_are_named() -> None:
    store = with_objects("home/model.pt", "home/data/part-0")
    assert [(r.path, r.object, r.size, r.xxh3_128) for r in plain_files(store, "b/home")] == [
        ("data/part-0", "data/part-0", 1, ""),
        ("model.pt", "model.pt", 1, ""),
    ]


@pytest.mark.parametrize("folder", ["b/run", "b/run/home", "b/run/home/data"])
def test_uncommitted_payload_is_never_plain_from_wherever_one_looks(folder: str) -> None:
    store = with_objects(f"run/home/data/{ID}/model.pt", "run/home/model.pt", "run/note.txt")
    assert plain_files(store, folder) == ()


@pytest.mark.parametrize("name", [f"{ID}.json", f"{ID}.pin"])
def test_a_home_with_manifests_is_never_plain(name: str) -> None:
    assert plain_files(with_objects(f"home/manifests/{name}", "home/model.pt"), "b/home") == ()


def test_the_folders_that_a_web_console_makes_are_no_files() -> None:
    assert [r.path for r in plain_files(with_objects("home/", "home/sub/", "home/sub/a"), "b/home")] == [
        "sub/a"
    ]


@pytest.mark.parametrize("keys", [("home/a", "home/a/b"), ("home/a//b",), ("home/../b",)])
def test_what_no_disk_can_have_is_damage(keys: tuple[str, ...]) -> None:
    with pytest.raises(DamagedError, match="cannot be put on a disk"):
        plain_files(with_objects(*keys), "b/home")
