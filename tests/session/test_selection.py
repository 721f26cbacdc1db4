"""Which files of a folder are saved: `ignore` and `links`, as arguments, as settings, on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.errors import InvalidArgumentError
from tests.cli.conftest import run

Save = Callable[[Path, Path, dict[str, Any]], object]
LEFT = {"ignore": ["*.tmp", "cache/"], "links": "skip"}


def save(store: Path, folder: Path, options: dict[str, Any]) -> None:
    with ckptptr.open(store) as run:
        run.save(folder, **options)


def save_in_background(store: Path, folder: Path, options: dict[str, Any]) -> None:
    with ckptptr.open(store) as run:
        run.save(folder, block=False, **options)


def batch(store: Path, folder: Path, options: dict[str, Any]) -> None:
    with ckptptr.open(store) as checkpoints, checkpoints.batch(**options) as gathered:
        gathered.save(folder)


def put(store: Path, folder: Path, options: dict[str, Any]) -> None:
    save(store, folder / "model", {})  # `put` wants a node
    ignored = [word for pattern in options.get("ignore", ()) for word in ("--ignore", pattern)]
    links = ["--links", options["links"]] if "links" in options else []
    said = run("put", str(store), str(folder), "--step", "7", *ignored, *links)
    if said.exit_code:
        raise InvalidArgumentError(said.stderr)


WAYS = [save, save_in_background, batch, put]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    (folder / "cache").mkdir(parents=True)
    for name in ("model", "a.tmp", "cache/x"):
        (folder / name).write_text(name)
    (tmp_path / "outside").write_text("outside")
    (folder / "link").symlink_to(tmp_path / "outside")
    return folder


def saved(store: Path, tmp_path: Path) -> set[str]:
    with ckptptr.open(store) as run:
        restored = run.restore(tmp_path / "restored")
    assert restored is not None
    return {path.relative_to(restored).as_posix() for path in restored.rglob("*") if path.is_file()}


@pytest.mark.parametrize("way", WAYS)
def test_what_the_arguments_leave_out_is_not_saved(way: Save, folder: Path, tmp_path: Path) -> None:
    way(tmp_path / "store", folder, LEFT)
    assert saved(tmp_path / "store", tmp_path) == {"model"}


@pytest.mark.parametrize("way", WAYS)
def test_so_it_is_with_settings_and_an_argument_counts_more(
    way: Save, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPTPTR_IGNORE", "*.tmp cache/")
    monkeypatch.setenv("CKPTPTR_LINKS", "skip")
    way(tmp_path / "store", folder, {"links": "follow"})
    assert saved(tmp_path / "store", tmp_path) == {"model", "link"}


@pytest.mark.parametrize("way", WAYS)
def test_without_any_of_them_all_is_saved(way: Save, folder: Path, tmp_path: Path) -> None:
    way(tmp_path / "store", folder, {})
    assert saved(tmp_path / "store", tmp_path) == {"model", "a.tmp", "cache/x", "link"}


@pytest.mark.parametrize("way", WAYS)
def test_a_link_that_is_refused_is_named(way: Save, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="link"):
        way(tmp_path / "store", folder, {"links": "refuse"})
