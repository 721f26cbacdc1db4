"""`drop` and `rollback --drop`: a bad checkpoint expires by hand, and attempts resume from others."""

from __future__ import annotations

import json
from typing import Any

import pytest

import ckptptr
from tests.cli.conftest import FlyteNode, run, run_json


def pointer(node: FlyteNode) -> dict[str, Any]:
    return json.loads(node.latest.read_text())


def test_a_dropped_checkpoint_is_expired_never_restored_and_deleted_by_the_next_sweep(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    run("use", node.url, ids[1])
    said = run("drop", node.url, "--step", "3", ids[2], "--yes")
    assert said.exit_code == 0, said.stderr
    assert "Dropped: 2 checkpoints." in said.stdout
    assert "While LATEST is held nothing is deleted." in said.stdout
    assert [reference.rpartition("/")[2] for reference in pointer(node)["doomed"]] == [
        f"{ids[2]}.json",
        f"{ids[3]}.json",
    ]
    assert (pointer(node)["history"], pointer(node)["held"], pointer(node)["step"]) == ([], True, 1)
    assert node.restored(1) == 1
    assert run("use", node.url, ids[3]).exit_code == 2
    swept = " ".join(run_json("sweep", node.url, "--yes")["swept"])
    assert ids[2] in swept
    assert ids[3] in swept
    with pytest.raises(StopIteration):
        node.manifest(ids[3])


def test_a_dropped_one_is_tried_last_until_it_is_swept_and_drop_says_both(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    said = run("drop", node.url, ids[2], "--yes").stdout
    assert " ".join(said.split()).count("while another checkpoint can be restored") == 1
    assert said.splitlines()[-1].strip() == f"ckptptr sweep {node.url}"
    node.damage(ids[3])
    assert run_json("show", node.url)["checkpoint"]["step"] == 1
    node.damage(ids[1])
    assert node.restored(1) == 2


def test_a_run_deletes_it_too(node: FlyteNode, ids: dict[int, str]) -> None:
    run("rollback", node.url, "--drop", "--yes")
    node.save(1, 3)  # the first publish keeps what has just expired, the next one deletes it
    node.save(1, 4)
    with pytest.raises(StopIteration):
        node.manifest(ids[3])


def test_a_rollback_drops_what_it_moves_away_from_but_for_the_pinned(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    run("pin", node.url, ids[2])
    told = run_json("rollback", node.url, "-n", "2", "--drop", "--yes")
    assert [reference.rpartition("/")[2] for reference in told["dropped"]] == [f"{ids[3]}.json"]
    assert told["checkpoint"]["step"] == 1
    assert [entry["step"] for entry in pointer(node)["history"]] == [2]


@pytest.mark.usefixtures("ids")
def test_a_rollback_that_drops_what_latest_named_has_no_undo(node: FlyteNode) -> None:
    told = run_json("rollback", node.url, "--drop", "--yes")
    assert (told["undo"], told["undo_command"]) == (None, None)
    said = run("rollback", node.url, "--drop", "--yes").stdout
    assert "To undo: not possible, what LATEST named before cannot be chosen." in said


@pytest.mark.parametrize("answer", ["n\n", None])
@pytest.mark.parametrize("command", [["drop", "--step", "1"], ["rollback", "--drop"]])
@pytest.mark.usefixtures("ids")
def test_it_asks_and_says_that_there_is_no_way_back(
    node: FlyteNode, command: list[str], answer: str | None
) -> None:
    name, *rest = command
    before = node.latest.read_bytes()
    said = run(name, node.url, *rest, stdin=answer)
    assert said.exit_code == 2
    assert "This cannot be undone." in said.stderr
    assert node.latest.read_bytes() == before


@pytest.mark.parametrize(
    ("chosen", "exit_code", "words"),
    [
        ("{3}", 2, "rollback --drop"),
        ("{2}", 2, "First `unpin` it"),
        ("other", 2, "only a checkpoint of this node can be dropped"),
        ("0000000009-a0000-abcdefgh", 3, "no checkpoint of this node has that id"),
    ],
)
def test_what_cannot_be_dropped(
    node: FlyteNode, ids: dict[int, str], chosen: str, exit_code: int, words: str
) -> None:
    run("pin", node.url, ids[2])
    theirs = FlyteNode(node.root, "n1").save(0, 1)
    name = str(node.manifest(theirs[1])) if chosen == "other" else chosen.format(*[""] * 2, ids[2], ids[3])
    before = node.latest.read_bytes()
    said = run("drop", node.url, name, "--yes")
    assert (said.exit_code, words in said.stderr) == (exit_code, True), said.stderr
    assert node.latest.read_bytes() == before


def test_a_damaged_one_can_be_dropped_and_an_absent_latest_cannot_list_it(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    node.damage(ids[1])
    assert run("drop", node.url, ids[1], "--yes").exit_code == 0
    node.latest.unlink()
    assert "LATEST is absent" in run("drop", node.url, ids[2], "--yes").stderr
    assert run("drop", node.url).exit_code == 2


def test_where_the_last_writer_wins_a_dropped_one_is_not_found_again(
    node: FlyteNode, ids: dict[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ckptptr.stores.local.store import LocalStore
    from ckptptr.stores.port import Guarantee

    run("rollback", node.url, "--drop", "--yes")
    run("release", node.url, ids[2])
    monkeypatch.setattr(LocalStore, "guarantee", Guarantee.LAST_WRITER_WINS)
    with ckptptr.open(node.url, attempt=0, read_only=True) as checkpoints:
        checkpoints.restore(node.root / "out")
        assert checkpoints.resolution is not None
        assert checkpoints.resolution.found is not None
        assert checkpoints.resolution.found.manifest is not None
        assert checkpoints.resolution.found.manifest.step == 2


def test_the_json_has_these_keys(node: FlyteNode, ids: dict[int, str]) -> None:
    told = run_json("drop", node.url, ids[1], "--yes")
    assert list(told) == ["command", "node", "checkpoints", "latest"]
    assert [checkpoint["id"] for checkpoint in told["checkpoints"]] == [ids[1]]
    assert told["latest"]["moved_with"] == "save"  # its target is as before
