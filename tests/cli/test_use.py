"""`ckptptr use` holds LATEST on what a person chose, and says how to go back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ckptptr.testing import Fault
from tests.cli.conftest import FlyteNode, run, run_json, run_line


def pointer(node: FlyteNode) -> dict[str, Any]:
    return json.loads(node.latest.read_text())


def test_it_says_what_changed_and_what_comes_next(node: FlyteNode, ids: dict[int, str]) -> None:
    said = run("use", node.url, ids[1], "--note", "2 and 3 diverged")
    assert said.exit_code == 0
    assert "LATEST is held on step 1." in said.stdout
    assert f"before  step 3, {ids[3]}\n" in said.stdout
    assert f"now     step 1, {ids[1]}, held\n" in said.stdout
    assert "The next attempt resumes from step 1. Its restore removes the hold." in said.stdout
    assert "An attempt that runs now continues to save, and does not move LATEST." in said.stdout
    now = pointer(node)
    assert (now["step"], now["held"], now["note"]) == (1, True, "2 and 3 diverged")
    assert [entry["step"] for entry in now["history"]] == [3, 2]
    assert node.restored(1) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["{id}"],
        ["{manifest}"],
        ["file://{manifest}"],
        ["{relative}"],
        ["--step", "1"],
        ["#3"],
        ["{data}"],
    ],
    ids=["id", "path", "uri", "reference", "step", "line", "payload"],
)
def test_a_checkpoint_can_be_named_in_any_of_these_ways(
    node: FlyteNode, ids: dict[int, str], words: list[str]
) -> None:
    manifest = node.manifest(ids[1])
    names = {"id": ids[1], "manifest": manifest, "relative": manifest.relative_to(node.root)}
    names["data"] = node.home(0) / "data" / ids[1] / "_dst_cp"
    assert run("use", node.url, *(word.format(**names) for word in words)).exit_code == 0
    assert pointer(node)["step"] == 1


@pytest.mark.usefixtures("ids")
def test_the_newest_of_an_attempt(node: FlyteNode) -> None:
    node.save(1, 4)
    run("use", node.url, "--of-attempt", "0")
    assert pointer(node)["step"] == 3


@pytest.mark.usefixtures("ids")
def test_a_folder_means_its_newest_checkpoint(node: FlyteNode) -> None:
    node.save(1, 4)
    run("use", node.url, str(node.home(0)))
    assert pointer(node)["step"] == 3


@pytest.mark.usefixtures("ids")
def test_a_plain_folder_can_be_used_and_is_said_to_be_unverified(node: FlyteNode) -> None:
    (node.root / "mine").mkdir()
    (node.root / "mine/model.pt").write_text("x")
    said = run("use", node.url, "mine")
    assert "cannot be verified" in said.stdout
    assert pointer(node)["checkpoint"] == "mine"


def test_the_undo_that_is_printed_works_literally(node: FlyteNode, ids: dict[int, str]) -> None:
    said = run("use", node.url, ids[1])
    undo = said.stdout.rstrip().splitlines()[-1].strip()
    assert run_line(undo).exit_code == 0
    assert (pointer(node)["step"], pointer(node)["held"]) == (3, False)
    assert [entry["step"] for entry in pointer(node)["history"]] == [2, 1]  # as if nothing had been


def test_the_undo_of_the_undo_has_the_note_again(node: FlyteNode, ids: dict[int, str]) -> None:
    run("use", node.url, ids[1], "--note", "it's fine")
    run_line(run_json("use", node.url, ids[2])["undo_command"])
    assert (pointer(node)["step"], pointer(node)["note"]) == (1, "it's fine")


def test_a_fresh_start_and_its_undo(node: FlyteNode, ids: dict[int, str]) -> None:
    said = run("use", node.url, "none", stdin="y\n")
    assert said.exit_code == 0
    assert "The next attempt starts fresh." in said.stdout
    assert pointer(node)["checkpoint"] == "none"
    assert len(pointer(node)["history"]) == 3
    undone = run_json("use", node.url, ids[3])
    assert undone["undo"] == ["ckptptr", "use", node.url, "none", "--yes"]
    assert run_line(undone["undo_command"]).exit_code == 0
    assert node.restored(1) is None


@pytest.mark.parametrize("answer", ["n\n", "", None])
@pytest.mark.usefixtures("ids")
def test_a_fresh_start_that_is_not_confirmed_changes_nothing(node: FlyteNode, answer: str | None) -> None:
    before = node.latest.read_bytes()
    said = run("use", node.url, "none", stdin=answer)
    assert said.exit_code == 2
    assert "nothing was changed" in said.stderr
    assert node.latest.read_bytes() == before


def test_over_a_hand_edit_nothing_of_the_history_is_lost(node: FlyteNode) -> None:
    ids = node.save(0, 1) | node.save(3, 2, 3)
    node.latest.write_text(ids[1])  # the whole file, history and fence included
    used = run_json("use", node.url, ids[2])
    assert used["before"]["state"] == "edited"
    assert sorted(entry["step"] for entry in pointer(node)["history"]) == [1, 3]
    assert run_line(used["undo_command"]).exit_code == 0
    assert pointer(node)["step"] == 1


def test_over_a_damaged_latest_its_bytes_are_kept(node: FlyteNode, ids: dict[int, str]) -> None:
    node.latest.write_bytes(b"{ a mess")
    used = run_json("use", node.url, ids[2])
    assert used["undo"] is None
    assert "LATEST is not a JSON object" in used["before"]["damage"]
    assert Path(used["kept_as"]).read_bytes() == b"{ a mess"
    assert node.restored(1) == 2


def test_over_a_latest_that_links_to_elsewhere_no_bytes_are_said_to_be_kept(
    node: FlyteNode, ids: dict[int, str], tmp_path: Path
) -> None:
    node.latest.rename(tmp_path / "elsewhere")
    node.latest.symlink_to(tmp_path / "elsewhere")
    said = run("use", node.url, ids[2]).stdout
    assert said.endswith("To undo: not possible, LATEST was damaged.\n")


def test_over_a_deleted_latest_the_undo_deletes_it_again(node: FlyteNode, ids: dict[int, str]) -> None:
    node.latest.unlink()
    used = run_json("use", node.url, ids[2])
    assert used["before"]["state"] == "absent"
    subprocess.run(used["undo"], check=True)
    assert not node.latest.exists()


def test_what_was_named_already_is_held_and_released_again(node: FlyteNode, ids: dict[int, str]) -> None:
    used = run_json("use", node.url, ids[3])
    assert pointer(node)["held"]
    assert used["undo"] == ["ckptptr", "release", node.url]
    run_line(used["undo_command"])
    assert not pointer(node)["held"]


def test_what_stood_there_and_was_no_good_has_no_undo(node: FlyteNode, ids: dict[int, str]) -> None:
    node.latest.write_text("no/such/checkpoint")
    assert run_json("use", node.url, ids[3])["undo"] is None


def test_the_undo_of_a_choice_from_outside_the_homes_names_it_in_full(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    other = FlyteNode(node.root, "n1").save(0, 9)
    reference = str(node.manifest(other[9]).relative_to(node.root))
    node.latest.write_text(reference)
    used = run_json("use", node.url, ids[3])
    assert used["undo"] is not None
    assert used["undo"][-1] == reference
    assert run_line(used["undo_command"]).exit_code == 0


def test_the_undo_repeats_options_but_no_secrets(node: FlyteNode, ids: dict[int, str]) -> None:
    options = ["--storage-option", "anon=true", "--storage-option", "secret=hunter2", "--attempt", "7"]
    used = run_json("use", node.url, ids[1], *options)
    assert "hunter2" not in json.dumps(used)
    assert used["undo"][-6:] == ["--attempt", "7", *options[:2], "--storage-option", "secret=..."]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["/etc"], 2, "the reference leaves the root"),
        (["s3://other/x"], 2, "another kind of store"),
        (["a/../b"], 2, "not a plain path"),
        ([" "], 2, "empty"),
        (["5"], 2, "Say --step 5, or '#5'"),
        ([], 2, "Give either CHECKPOINT, --step or --of-attempt"),
        (["none", "--step", "1"], 2, "Give either CHECKPOINT, --step or --of-attempt"),
        (["0000000009-a0000-abcdefgh"], 3, "no checkpoint of this node has that id"),
        (["no/such/folder"], 3, "To see what can be chosen: ckptptr log"),
        (["--of-attempt", "8"], 3, "There are the attempts 0"),
        (["--step", "8"], 3, "There are the steps 3, 2, 1"),
        (["#9"], 3, "so there is no line 9"),
    ],
)
@pytest.mark.usefixtures("ids")
def test_a_refusal_is_one_sentence_with_a_hint(
    node: FlyteNode, arguments: list[str], exit_code: int, words: str
) -> None:
    before = node.latest.read_bytes()
    said = run("use", node.url, *arguments)
    assert said.exit_code == exit_code, said.stderr
    assert words in said.stderr
    assert said.stdout == ""
    assert "Traceback" not in said.stderr
    assert node.latest.read_bytes() == before


def test_expired_checkpoints_are_refused(node: FlyteNode) -> None:
    ids = node.save(0, 1, 2, 3, 4)
    said = run("use", node.url, ids[1])
    assert said.exit_code == 2
    assert "this checkpoint has expired" in said.stderr
    assert "Hint: Choose one that `ckptptr log` does not call expired" in said.stderr
    assert run("use", node.url, "--step", "1").exit_code == 3


def test_the_damaged_are_refused(node: FlyteNode, ids: dict[int, str]) -> None:
    node.damage(ids[1])
    said = run("use", node.url, ids[1])
    assert said.exit_code == 4
    assert "checksum" in said.stderr


def test_a_write_whose_outcome_nobody_knows_says_so(
    node: FlyteNode, ids: dict[int, str], faults: list[Fault]
) -> None:
    # One read tells which attempts there were, one decides; the third reads back.
    faults += [Fault(op="replace", when="after"), Fault(op="read", key="LATEST", nth=3, times=1000)]
    said = run("use", node.url, ids[1])
    assert said.exit_code == 7
    assert "Read LATEST before going on" in said.stderr


@pytest.mark.parametrize("nth", [3, 4, 5])
def test_a_choice_that_landed_is_not_reported_as_failed_when_the_store_fails_after_it(
    node: FlyteNode, ids: dict[int, str], faults: list[Fault], nth: int
) -> None:
    faults.append(Fault(op="read", key="LATEST", nth=nth, times=1000))
    said = run("use", node.url, ids[1])
    assert said.exit_code == 6
    assert "LATEST is now as you asked" in said.stderr
    assert "Hint: Look again: ckptptr show" in said.stderr
    assert pointer(node)["held"]


def test_the_json_has_these_keys(node: FlyteNode, ids: dict[int, str]) -> None:
    used = run_json("use", node.url, ids[1])
    assert list(used) == [
        *("command", "node", "before", "latest", "verdict", "why", "warnings", "checkpoint"),
        *("undo", "undo_command", "kept_as", "dropped"),
    ]
    assert (used["before"]["step"], used["before"]["held"]) == (3, False)
    assert (used["latest"]["step"], used["latest"]["held"], used["latest"]["held_by"]) == (1, True, "use")
    assert used["checkpoint"]["id"] == ids[1]
    assert used["undo"] == ["ckptptr", "release", node.url, ids[3]]
