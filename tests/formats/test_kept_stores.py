"""Stores with everything in them, each written by the version that its folder is called after: they are read,
restored, verified, continued and swept. `write_store.py` wrote them; each run writes one more.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.protocol.names import DATA, MANIFESTS
from tests.cli.conftest import run, run_json
from tests.formats import write_store
from tests.formats.write_store import CHANGED_NS, NODES, content_of, read

KEPT = Path(__file__).with_name("ckptptr-1")
STORES = sorted(folder.parent.name for folder in KEPT.glob("*/said.json"))
NEWEST = "7fd37ab"
NOW = "now"
PLAIN, FLYTE, PARTS = NODES.values()

Kept = dict[str, Any]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that this version writes."""
    place = tmp_path_factory.mktemp("written") / NOW
    subprocess.run([sys.executable, write_store.__file__, str(place)], check=True, capture_output=True)
    return place


def unpacked(kept: Path, place: Path) -> Path:
    """A copy of a store in another place, with its objects of zeros."""
    store = Path(shutil.copytree(kept / "store", place / "store"))
    for key, size in json.loads((kept / "said.json").read_text())["zeros"].items():
        with (store / key).open("xb") as file:
            file.truncate(size)
    return store


@pytest.fixture(params=[*STORES, NOW])
def kept(request: pytest.FixtureRequest, written: Path) -> Path:
    return written if request.param == NOW else KEPT / str(request.param)


@pytest.fixture
def said(kept: Path) -> dict[str, list[Kept]]:
    """What the version that wrote it said of each node: its checkpoints, the newest first."""
    nodes: dict[str, list[Kept]] = json.loads((kept / "said.json").read_text())["nodes"]
    return nodes


@pytest.fixture
def store(kept: Path, tmp_path: Path) -> Path:
    return unpacked(kept, tmp_path)


def assert_restores(url: Path, checkpoints: list[Kept], scratch: Path) -> None:
    with ckptptr.open(url, read_only=True) as opened:
        for number, kept in enumerate(checkpoints):
            opened.restore(scratch / str(number), checkpoint=kept["checkpoint"])
            assert read(scratch / str(number)) == kept["files"]


def committed(store: Path, node: str) -> set[str]:
    """The names of the checkpoints of a node that are committed."""
    homes = store / ("data" if node == FLYTE else node)
    return {path.name for path in homes.rglob(f"{MANIFESTS}/*.json")}


def test_a_store_has_all_that_it_is_kept_for(store: Path, said: dict[str, list[Kept]]) -> None:
    _, copied, _ = said[PLAIN]
    assert json.loads((store / PLAIN / copied["checkpoint"]).read_text())["copied_from"]
    assert [*(store / PLAIN).glob("LATEST.damaged-*")]
    assert [*(store / PLAIN).glob("claims/*")]
    assert [*(store / "data").rglob(f"{MANIFESTS}/*.pin")]
    expired = json.loads((store / FLYTE / "LATEST").read_text())["doomed"]
    there = {name for name in expired if (store / "data" / name).exists()}
    steps = {json.loads((store / "data" / name).read_text())["step"] for name in there}
    assert {5, 99} <= steps  # released by retention; committed by a save that was killed before LATEST
    payload = {path.name for path in (store / "data").rglob(f"{DATA}/*-a*")}
    assert [name for name in {*expired} - there if Path(name).stem in payload]  # killed before its manifest


def test_the_history_is_what_its_own_version_said(store: Path, said: dict[str, list[Kept]]) -> None:
    for node, checkpoints in said.items():
        with ckptptr.open(store / node, read_only=True) as opened:
            history = [(c.reference, c.step, c.attempt, c.pinned) for c in opened.history()]
        assert history == [(c["checkpoint"], c["step"], c["attempt"], c["pinned"]) for c in checkpoints]


def test_every_checkpoint_is_restored_and_verified_byte_by_byte(
    store: Path, said: dict[str, list[Kept]], tmp_path: Path
) -> None:
    for number, (node, checkpoints) in enumerate(said.items()):
        assert_restores(store / node, checkpoints, tmp_path / str(number))
        for kept in checkpoints:
            assert run("verify", str(store / node), kept["checkpoint"], "--deep").exit_code == 0
    assert content_of(1).items() <= said[PLAIN][-1]["files"].items()


def test_permission_bits_and_folders_are_restored_and_times_where_they_are_known(
    store: Path, said: dict[str, list[Kept]], kept: Path, tmp_path: Path
) -> None:
    with ckptptr.open(store / PLAIN, read_only=True) as opened:
        opened.restore(tmp_path / "state", checkpoint=said[PLAIN][-1]["checkpoint"])
    program = (tmp_path / "state/run.sh").stat()
    assert (program.st_mode & 0o777, (tmp_path / "state/logs").is_dir()) == (0o755, True)
    assert (program.st_mtime_ns == CHANGED_NS) is (kept.name != "956495b")


def test_an_attempt_goes_on_from_it_and_a_sweep_deletes_orphans_and_nothing_else(
    store: Path, said: dict[str, list[Kept]], tmp_path: Path
) -> None:
    for node, checkpoints in said.items():
        with ckptptr.open(store / node, attempt=9, retention=ckptptr.Retention(keep_last=10)) as opened:
            opened.restore(tmp_path / node)
            assert read(tmp_path / node) == checkpoints[0]["files"]
            opened.wait()  # copied forward
            opened.save(b"new", step=100)
            opened.wait()
            history = opened.history()
        assert [c.step for c in history[:2]] == [100, checkpoints[0]["step"]]
        assert [c.reference for c in history if c.pinned] == [
            c["checkpoint"] for c in checkpoints if c["pinned"]
        ]
        assert run("sweep", str(store / node), "--yes").exit_code == 0
        assert committed(store, node) == {Path(c.reference).name for c in history}
        assert_restores(store / node, checkpoints[1:], tmp_path / f"after/{node}")
        assert run("doctor", str(store / node)).exit_code == 0


def test_a_hold_and_its_note_are_followed(store: Path) -> None:
    latest = run_json("show", str(store / FLYTE))["latest"]
    assert (latest["held"], latest["note"], latest["step"]) == (True, "for the paper", 1)
    with ckptptr.open(store / FLYTE, attempt=9) as opened:
        opened.restore()
    assert run_json("show", str(store / FLYTE))["latest"]["held"] is False


@pytest.mark.parametrize("kept", [NEWEST, NOW], indirect=True)
def test_a_part_without_the_others_is_an_orphan_of_the_next_attempt(store: Path) -> None:
    sets = store / PARTS / f"attempts/0/{DATA}/.sets/round-1"
    assert len([*sets.glob("*.json")]) == 3
    with ckptptr.open(store / PARTS, attempt=1) as opened:
        opened.restore()
        opened.save(b"new", step=100)
        opened.wait()
    assert run("sweep", str(store / PARTS), "--yes").exit_code == 0
    assert len([*sets.glob("*.json")]) == 2


def documents(store: Path) -> Iterator[tuple[str, Any]]:
    """Every JSON document in a store, with the kind that its key says."""
    for path in store.rglob("*"):
        key = path.relative_to(store).as_posix()
        kind = re.search(
            rf"LATEST$|/{MANIFESTS}/.*(json|pin)$|/claims/|/\.sets/[^/]+/[^/]+(/[0-9]+-of)?", key
        )
        if kind and path.is_file() and "commit-" not in key:
            yield re.sub("[0-9].*-a[0-9]{4}-|[0-9a-z]{8,}", "", kind[0]), json.loads(path.read_text())


def shape(document: Any, above: str = "") -> set[str]:
    """The keys of a document, at every level; not those of a user's metadata."""
    if isinstance(document, list):
        return {key for element in document for key in shape(element, above)}
    if not isinstance(document, dict):
        return set()
    here = {f"{above}.{key}" for key in document}
    return here.union(
        *(shape(value, f"{above}.{key}") for key, value in document.items() if key != "metadata")
    )


def shapes(store: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for kind, document in documents(store):
        found.setdefault(kind, set()).update(shape(document))
    return found


def test_a_change_of_what_is_stored_asks_for_one_more_store_to_be_kept(written: Path) -> None:
    """If this fails: write a store with this version, as the README beside them says; it becomes `NEWEST`."""
    assert shapes(written / "store") == shapes(KEPT / NEWEST / "store")
