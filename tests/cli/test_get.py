"""`ckptptr get` puts a verified checkpoint into a folder, and moves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

import ckptptr
from ckptptr.testing import Fault
from tests.cli.conftest import FlyteNode, run, run_json
from tests.helpers import read_folder


@pytest.fixture
def two(node: FlyteNode, tmp_path: Path) -> FlyteNode:
    """A node with two checkpoints of two files each."""
    with ckptptr.open(node.url, attempt=0) as checkpoints:
        for step in (1, 2):
            folder = tmp_path / f"saved-{step}"
            (folder / "sub").mkdir(parents=True)
            (folder / "empty").mkdir()
            (folder / "model.pt").write_text(f"model {step}")
            (folder / "sub/optimizer.pt").write_text(f"optimizer {step}")
            (folder / "model.pt").chmod(0o600)
            checkpoints.save(folder, step=step)
    return node


def test_without_a_choice_it_is_what_the_next_attempt_resumes_from(two: FlyteNode, tmp_path: Path) -> None:
    before = two.latest.read_bytes()
    said = run("get", two.url, str(tmp_path / "out"))
    assert said.exit_code == 0
    assert said.stdout.splitlines()[0] == f"Step 2 is in {tmp_path / 'out'}."
    assert read_folder(tmp_path / "out") == {"model.pt": "model 2", "sub/optimizer.pt": "optimizer 2"}
    assert (tmp_path / "out/empty").is_dir()
    assert (tmp_path / "out/model.pt").stat().st_mode & 0o777 == 0o600
    assert two.latest.read_bytes() == before


@pytest.mark.parametrize("words", [["--step", "1"], ["#2"]])
def test_a_chosen_one(two: FlyteNode, tmp_path: Path, words: list[str]) -> None:
    told = run_json("get", two.url, *words, str(tmp_path / "out"))
    assert told["checkpoint"]["step"] == 1
    assert read_folder(tmp_path / "out")["model.pt"] == "model 1"


def test_one_file_of_it(two: FlyteNode, tmp_path: Path) -> None:
    told = run_json("get", two.url, str(tmp_path / "out"), "--file", "sub/optimizer.pt")
    assert told["files"] == ["sub/optimizer.pt"]
    assert read_folder(tmp_path / "out") == {"sub/optimizer.pt": "optimizer 2"}


def test_a_file_that_it_has_not_is_refused_with_those_it_has(two: FlyteNode, tmp_path: Path) -> None:
    said = run("get", two.url, str(tmp_path / "out"), "--file", "optimizer.pt")
    assert said.exit_code == 2
    assert "It has model.pt, sub/optimizer.pt" in said.stderr
    assert not (tmp_path / "out").exists()


def test_a_damaged_payload_is_skipped_where_nothing_was_chosen(two: FlyteNode, tmp_path: Path) -> None:
    newest = run_json("show", two.url)["checkpoint"]["id"]
    (two.home(0) / "data" / newest / "model.pt").write_text("mod")
    told = run_json("get", two.url, str(tmp_path / "out"))
    assert told["checkpoint"]["step"] == 1
    assert [refused["reference"].endswith(f"{newest}.json") for refused in told["rejected"]] == [True]
    assert read_folder(tmp_path / "out")["model.pt"] == "model 1"
    said = run("get", two.url, newest, str(tmp_path / "chosen"))
    assert said.exit_code == 4
    assert "To see what can be chosen" in said.stderr
    assert not read_folder(tmp_path / "chosen")


def test_a_bit_flipped_on_the_way_is_fetched_again(
    two: FlyteNode, tmp_path: Path, faults: list[Fault]
) -> None:
    faults.append(Fault("corrupt", op="download"))
    assert run("get", two.url, str(tmp_path / "out")).exit_code == 0
    assert read_folder(tmp_path / "out")["model.pt"] == "model 2"


@pytest.mark.parametrize(
    ("answer", "flags", "step"), [("y\n", [], 2), ("n\n", [], 1), ("", [], 1), (None, ["--yes"], 2)]
)
def test_files_that_differ_are_replaced_only_when_that_is_confirmed(
    two: FlyteNode, tmp_path: Path, answer: str | None, flags: list[str], step: int
) -> None:
    run("get", two.url, "--step", "1", str(tmp_path / "out"))
    (tmp_path / "out/mine.txt").write_text("mine")
    said = run("get", two.url, str(tmp_path / "out"), *flags, stdin=answer)
    assert said.exit_code == (0 if step == 2 else 2)
    assert ("2 files in" in said.stderr) == (not flags)
    found = read_folder(tmp_path / "out")
    assert found == {"model.pt": f"model {step}", "sub/optimizer.pt": f"optimizer {step}", "mine.txt": "mine"}


def test_what_is_there_already_is_neither_asked_about_nor_fetched(
    two: FlyteNode, tmp_path: Path, faults: list[Fault]
) -> None:
    run("get", two.url, str(tmp_path / "out"))
    faults.append(Fault(op="download", times=1000))
    assert run("get", two.url, str(tmp_path / "out")).exit_code == 0


def test_a_plain_folder_is_said_to_be_unverified(node: FlyteNode, tmp_path: Path) -> None:
    node.home(0).mkdir(parents=True)
    (node.home(0) / "model.pt").write_bytes(b"12345")
    told = run_json("get", node.url, str(tmp_path / "out"))
    assert (told["verified"], told["bytes"]) == (False, 5)
    assert "not verified: it has no digests" in run("get", node.url, str(tmp_path / "again")).stdout


def test_wrong_places_are_refused(two: FlyteNode, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert run("get", two.url, str(tmp_path / "file")).exit_code == 2
    assert run("get", two.url).exit_code == 2
    assert run("get", two.url, "#1", "a", "b").exit_code == 2


def test_nothing_to_get_exits_with_3(tmp_path: Path) -> None:
    with ckptptr.open(str(tmp_path / "run")):
        pass
    assert run("get", str(tmp_path / "run"), str(tmp_path / "out")).exit_code == 3
    assert not (tmp_path / "out").exists()


def test_the_json_has_these_keys(two: FlyteNode, tmp_path: Path) -> None:
    told = run_json("get", two.url, str(tmp_path / "out"))
    assert list(told) == [
        *("command", "node", "checkpoint", "destination", "files", "bytes", "verified", "rejected"),
    ]
    assert (told["destination"], told["files"]) == (str(tmp_path / "out"), ["model.pt", "sub/optimizer.pt"])
