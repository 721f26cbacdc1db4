"""`ckptptr put` makes a checkpoint of local files; the next attempt resumes from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ckptptr
from ckptptr.testing import Fault
from tests.cli.conftest import FlyteNode, run, run_json, run_line


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A local folder with two files."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.pt").write_text("mended")
    (folder / "notes.txt").write_text("by hand")
    return folder


@pytest.mark.usefixtures("ids")
def test_it_is_committed_and_held_and_the_next_attempt_resumes_from_it(
    node: FlyteNode, mine: Path, tmp_path: Path
) -> None:
    said = run("put", node.url, str(mine), "--step", "99", "--note", "mended")
    assert said.exit_code == 0
    assert said.stdout.startswith("LATEST is held on step 99.\n")
    pointer = json.loads(node.latest.read_text())
    assert (pointer["attempt"], pointer["seq"], pointer["fence"], pointer["note"]) == (0, 4, 0, "mended")
    with ckptptr.open(node.url, attempt=1) as checkpoints:
        folder = checkpoints.restore(tmp_path / "restored")
        assert folder is not None
        assert (folder / "model.pt").read_text() == "mended"
        assert sorted(path.name for path in folder.iterdir()) == ["model.pt", "notes.txt"]


@pytest.mark.usefixtures("ids")
def test_an_attempt_that_runs_is_not_fenced_off_and_goes_on_after_a_release(
    node: FlyteNode, mine: Path
) -> None:
    with ckptptr.open(node.url, attempt=2) as checkpoints:
        checkpoints.restore()
        put = run_json("put", node.url, str(mine), "--step", "99")
        checkpoints.save(b"4", step=4)
        assert run_json("show", node.url)["checkpoint"]["step"] == 99
        assert run_line(put["undo_command"]).exit_code == 0
        checkpoints.save(b"5", step=5)
    shown = run_json("show", node.url)
    assert (shown["checkpoint"]["step"], shown["latest"]["fence"]) == (5, 2)


@pytest.mark.usefixtures("ids")
@pytest.mark.parametrize("is_whole", [True, False], ids=["a folder", "a file"])
def test_what_the_last_attempt_saves_after_a_release_on_it_has_none_of_its_files(
    node: FlyteNode, mine: Path, tmp_path: Path, is_whole: bool
) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "model.pt").write_text("trained")
    with ckptptr.open(node.url, attempt=1) as checkpoints:
        checkpoints.save(ours)
        run("put", node.url, str(mine))
        assert run("release", node.url, run_json("show", node.url)["checkpoint"]["id"]).exit_code == 0
        (ours / "opt.pt").write_text("trained on")
        checkpoints.save(ours if is_whole else ours / "opt.pt")
    with ckptptr.open(node.url, attempt=2) as checkpoints:
        restored = checkpoints.restore()
        assert restored is not None
        found = {path.name: path.read_text() for path in restored.iterdir()}
    assert found == {"model.pt": "trained", "opt.pt": "trained on"}


@pytest.mark.usefixtures("ids")
def test_the_walk_back_finds_it_when_latest_is_lost(node: FlyteNode, mine: Path) -> None:
    node.save(3, 4)
    run("put", node.url, str(mine), "--step", "99")
    node.latest.unlink()
    assert run_json("show", node.url)["checkpoint"]["step"] == 99
    assert node.restored(3) == 99  # an in-place restart of the last attempt is not superseded by it


@pytest.mark.usefixtures("ids")
def test_no_attempt_is_fenced_that_is_still_to_come(node: FlyteNode, mine: Path) -> None:
    node.save(3, 4)
    put = run_json("put", node.url, str(mine), "--step", "99", "--attempt", "9")
    assert "-a0003-" in put["checkpoint"]["url"]
    assert run_json("show", node.url)["latest"]["fence"] == 3
    assert node.restored(4) == 99


@pytest.mark.usefixtures("ids")
def test_metadata_are_kept_with_their_types(node: FlyteNode, mine: Path) -> None:
    words = ["loss=0.5", "tags=[1,2]", "name=a=b", "version=1.2.3"]
    put = run_json("put", node.url, str(mine), *(word for w in words for word in ("--metadata", w)))
    manifest = json.loads(Path(put["checkpoint"]["url"]).read_text())
    assert manifest["metadata"] == {"loss": 0.5, "tags": [1, 2], "name": "a=b", "version": "1.2.3"}
    assert manifest["lineage"]["execution"] == "axq2rsxnmht57kq9sxpt"
    assert run("put", node.url, str(mine), "--metadata", "loss").exit_code == 2


@pytest.mark.usefixtures("ids")
def test_one_file_will_do_and_an_empty_folder_will_not(node: FlyteNode, mine: Path, tmp_path: Path) -> None:
    assert run_json("put", node.url, str(mine / "model.pt"))["checkpoint"]["files"] == 1
    (tmp_path / "empty").mkdir()
    before = node.latest.read_bytes()
    assert run("put", node.url, str(tmp_path / "empty")).exit_code == 2
    assert run("put", node.url, str(tmp_path / "nowhere")).exit_code == 2
    assert node.latest.read_bytes() == before


@pytest.mark.usefixtures("ids")
def test_a_failed_upload_moves_nothing(node: FlyteNode, mine: Path, faults: list[Fault]) -> None:
    before = node.latest.read_bytes()
    faults.append(Fault(op="upload"))
    assert run("put", node.url, str(mine)).exit_code == 6
    assert node.latest.read_bytes() == before
    assert len(run_json("log", node.url)["checkpoints"]) == 3


@pytest.mark.usefixtures("ids")
def test_where_latest_cannot_be_moved_it_says_what_to_type(
    node: FlyteNode, mine: Path, faults: list[Fault]
) -> None:
    faults.append(Fault(op="replace", times=1000))
    said = run("put", node.url, str(mine), "--step", "9")
    assert said.exit_code == 6
    assert "the checkpoint is committed, but LATEST does not name it" in said.stderr
    faults.clear()
    hint = said.stderr.partition("Hint: Try: ")[2].strip()
    assert run_line(hint).exit_code == 0
    assert run_json("show", node.url)["checkpoint"]["step"] == 9


def test_outside_flyte_the_next_open_resumes_from_it(tmp_path: Path, mine: Path) -> None:
    url = str(tmp_path / "run")
    with ckptptr.open(url) as checkpoints:
        checkpoints.save(b"x", step=1)
    run("put", url, str(mine), "--step", "7")
    with ckptptr.open(url) as checkpoints:
        folder = checkpoints.restore()
        assert folder is not None
        assert (folder / "model.pt").read_text() == "mended"
        assert checkpoints.attempt == 1


def test_the_json_has_the_keys_of_a_move(node: FlyteNode, ids: dict[int, str], mine: Path) -> None:
    put = run_json("put", node.url, str(mine))
    assert put["command"] == "put"
    assert list(put) == list(run_json("use", node.url, ids[1]))
