"""`rollback`, `release`, `pin` and `unpin`: what they do to LATEST, and the way back that they print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import FlyteNode, run, run_json, run_line


def pointer(node: FlyteNode) -> dict[str, Any]:
    return json.loads(node.latest.read_text())


def test_rollback_holds_the_one_before_and_can_be_undone(node: FlyteNode, ids: dict[int, str]) -> None:
    said = run("rollback", node.url, "--note", "3 diverged")
    assert said.exit_code == 0
    assert "LATEST is held on step 2." in said.stdout
    assert (pointer(node)["step"], pointer(node)["held"], pointer(node)["note"]) == (2, True, "3 diverged")
    undo = said.stdout.rstrip().splitlines()[-1].strip()
    assert undo == f"ckptptr release {node.url} {ids[3]}"
    run_line(undo)
    assert (pointer(node)["step"], pointer(node)["held"]) == (3, False)


@pytest.mark.usefixtures("ids")
def test_rollback_by_several_and_too_far(node: FlyteNode) -> None:
    assert run_json("rollback", node.url, "-n", "2")["checkpoint"]["step"] == 1
    before = node.latest.read_bytes()
    said = run("rollback", node.url)
    assert said.exit_code == 3
    assert "the history of LATEST has 0 earlier checkpoints, not 1" in said.stderr
    assert run("rollback", node.url, "-n", "0").exit_code == 2
    assert node.latest.read_bytes() == before


def test_release_lets_a_run_move_latest_again(node: FlyteNode, ids: dict[int, str]) -> None:
    run("use", node.url, ids[1], "--note", "hm")
    said = run("release", node.url)
    assert "LATEST is not held any more." in said.stdout
    assert "The next attempt resumes from step 1." in said.stdout
    assert (pointer(node)["step"], pointer(node)["held"]) == (1, False)
    run_line(said.stdout.rstrip().splitlines()[-1].strip())
    assert (pointer(node)["step"], pointer(node)["held"], pointer(node)["note"]) == (1, True, "hm")


@pytest.mark.usefixtures("ids")
def test_release_where_nothing_is_held_changes_nothing(node: FlyteNode) -> None:
    before = node.latest.read_bytes()
    said = run("release", node.url)
    assert said.exit_code == 0
    assert "nothing was changed" in said.stdout
    assert "there is nothing to go back to" in said.stdout
    assert node.latest.read_bytes() == before


@pytest.mark.usefixtures("ids")
def test_release_without_a_latest_is_an_error(node: FlyteNode) -> None:
    node.latest.unlink()
    said = run("release", node.url)
    assert (said.exit_code, node.latest.exists()) == (3, False)
    assert "Choose with `use`" in said.stderr


def test_a_release_to_a_fresh_start_is_confirmed(node: FlyteNode, ids: dict[int, str]) -> None:
    assert run("release", node.url, "none", stdin="n\n").exit_code == 2
    assert pointer(node)["step"] == 3
    assert run("release", node.url, "none", "--yes").exit_code == 0
    used = run_json("use", node.url, ids[1])
    assert used["undo"] == ["ckptptr", "release", node.url, "none", "--yes"]
    assert run_line(used["undo_command"]).exit_code == 0
    assert (pointer(node)["checkpoint"], pointer(node)["held"]) == ("none", False)


def test_pin_keeps_a_checkpoint_and_unpin_lets_it_go(node: FlyteNode, ids: dict[int, str]) -> None:
    said = run("pin", node.url, "--step", "1", "--note", "milestone")
    assert said.stdout.startswith("Step 1 is pinned.\n")
    marker = node.manifest(ids[1]).with_suffix(".pin")
    assert json.loads(marker.read_text())["note"] == "milestone"
    assert pointer(node)["step"] == 3
    node.save(1, 4, 5, 6, 7)
    assert node.manifest(ids[1]).exists()
    assert run_line(said.stdout.rstrip().splitlines()[-1].strip()).exit_code == 0
    assert not marker.exists()
    node.save(2, 8, 9)
    assert not list(node.root.rglob(f"{ids[1]}.json"))


def test_a_pin_that_is_there_is_no_change(node: FlyteNode, ids: dict[int, str]) -> None:
    run("pin", node.url, ids[1])
    again = run_json("pin", node.url, ids[1])
    assert (again["pinned"], again["was_pinned"], again["undo"]) == (True, True, None)
    assert "was pinned before" in run("pin", node.url, ids[1]).stdout
    run("unpin", node.url, ids[1])
    assert "was not pinned before" in run("unpin", node.url, ids[1]).stdout


def test_a_damaged_checkpoint_can_be_unpinned_but_not_pinned_again(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    run("pin", node.url, ids[1])
    node.damage(ids[1])
    assert run("drop", node.url, ids[1], "--yes").exit_code == 2  # `First unpin it`
    assert "It has expired, or is damaged" in run("unpin", node.url, ids[1]).stdout
    assert run("pin", node.url, ids[1]).exit_code == 4
    assert run("drop", node.url, ids[1], "--yes").exit_code == 0


@pytest.mark.parametrize("command", ["pin", "unpin"])
@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        ([], 2, "Give either CHECKPOINT"),
        (["--step", "8"], 3, "There are the steps 3, 2, 1"),
        (["0000000009-a0000-abcdefgh"], 3, "To see what can be chosen: ckptptr log"),
    ],
)
@pytest.mark.usefixtures("ids")
def test_what_cannot_be_pinned_is_refused(
    node: FlyteNode, command: str, arguments: list[str], exit_code: int, words: str
) -> None:
    before = node.latest.read_bytes()
    said = run(command, node.url, *arguments)
    assert said.exit_code == exit_code
    assert words in said.stderr
    assert node.latest.read_bytes() == before


@pytest.mark.usefixtures("ids")
def test_a_plain_folder_cannot_be_pinned(node: FlyteNode) -> None:
    (node.root / "mine").mkdir()
    (node.root / "mine/model.pt").write_text("x")
    assert run("pin", node.url, "mine").exit_code == 2


def test_the_json_has_these_keys(node: FlyteNode, ids: dict[int, str]) -> None:
    pinned = run_json("pin", node.url, ids[2])
    assert list(pinned) == [
        *("command", "node", "checkpoint", "pinned", "was_pinned", "latest", "undo", "undo_command"),
    ]
    assert (pinned["command"], pinned["checkpoint"]["pinned"]) == ("pin", True)
    assert run_json("unpin", node.url, ids[2])["command"] == "unpin"
    for command in ("rollback", "release"):
        moved = run_json(command, node.url)
        assert moved["command"] == command
        assert list(moved) == list(run_json("use", node.url, ids[3]))


def test_moves_on_a_run_outside_flyte(tmp_path: Path) -> None:
    import ckptptr

    with ckptptr.open(str(tmp_path / "run")) as checkpoints:
        for step in (1, 2):
            checkpoints.save(b"x", step=step)
    assert run_json("rollback", str(tmp_path / "run"))["checkpoint"]["step"] == 1
