"""`ckptptr log` lists every checkpoint of a node once, and says what each of them is to LATEST."""

from __future__ import annotations

from pathlib import Path

import pytest

import ckptptr
from tests.cli.conftest import FlyteNode, run, run_json


def states(node: FlyteNode) -> list[tuple[int | None, str]]:
    return [(entry["step"], entry["state"]) for entry in run_json("log", node.url)["checkpoints"]]


@pytest.mark.usefixtures("ids")
def test_the_newest_publish_comes_first_across_attempts(node: FlyteNode) -> None:
    node.save(2, 4)
    assert states(node)[:2] == [(4, "target"), (3, "history")]
    assert [entry["index"] for entry in run_json("log", node.url)["checkpoints"]][:2] == [1, 2]


def test_in_a_pipe_each_checkpoint_is_one_whole_line(node: FlyteNode, ids: dict[int, str]) -> None:
    said = run("log", node.url)
    assert said.exit_code == 0
    for step, identifier in ids.items():
        line = next(line for line in said.stdout.splitlines() if identifier in line)
        assert str(step) in line.split()
        assert "7 B" in line
        assert "just now" in line
    assert not set("│┃─━┏┓") & set(said.stdout)
    assert "\x1b" not in said.stdout


def test_what_retention_released_is_expired(node: FlyteNode) -> None:
    node.save(0, 1, 2, 3, 4)
    assert states(node) == [(4, "target"), (3, "history"), (2, "history"), (1, "doomed")]
    assert "expired: released by retention" in run("log", node.url).stdout


def test_saves_under_a_hold_are_committed_and_unnamed(node: FlyteNode, ids: dict[int, str]) -> None:
    with ckptptr.open(node.url, attempt=1) as checkpoints:
        checkpoints.restore()  # simply follows LATEST: the fence does not know of attempt 1
        run("use", node.url, ids[1])
        checkpoints.save(b"5", step=5)
    assert states(node) == [(5, "unnamed"), (3, "history"), (2, "history"), (1, "target")]
    said = run("log", node.url).stdout
    assert "LATEST, held" in said
    assert "unnamed: complete but not in LATEST" in said


@pytest.mark.usefixtures("ids")
def test_with_latest_deleted_all_are_listed_as_unnamed(node: FlyteNode) -> None:
    node.latest.unlink()
    assert states(node) == [(3, "unnamed"), (2, "unnamed"), (1, "unnamed")]
    assert "LATEST is absent" in run("log", node.url).stdout


@pytest.mark.usefixtures("ids")
def test_a_damaged_latest_is_said_and_hides_nothing(node: FlyteNode) -> None:
    node.latest.write_text('{"checkpoint"')
    assert len(states(node)) == 3
    assert "LATEST is not a JSON object" in run("log", node.url).stdout


def test_an_id_in_an_edited_latest_marks_the_checkpoint_that_it_means(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    node.latest.write_text(ids[2])
    assert states(node) == [(3, "unnamed"), (2, "target"), (1, "unnamed")]


def test_a_damaged_manifest_is_listed_with_the_reason(node: FlyteNode, ids: dict[int, str]) -> None:
    node.damage(ids[3])
    first = run_json("log", node.url)["checkpoints"][0]
    assert (first["state"], first["step"], first["problem_code"]) == ("target", 3, "damaged")
    assert "checksum" in first["problem"]
    said = run("log", node.url).stdout
    assert "LATEST, damaged" in said
    assert "#1 cannot be restored: the manifest does not have the checksum" in said


def test_what_latest_names_and_is_gone_is_listed_too(node: FlyteNode, ids: dict[int, str]) -> None:
    node.manifest(ids[2]).unlink()
    entry = next(e for e in run_json("log", node.url)["checkpoints"] if e["step"] == 2)
    assert (entry["state"], entry["problem_code"], entry["id"]) == ("history", "not-found", ids[2])


def test_a_manifest_of_a_newer_version_is_listed_and_not_hidden(node: FlyteNode, ids: dict[int, str]) -> None:
    path = node.manifest(ids[1])
    path.write_text(path.read_text().replace("ckptptr/1", "ckptptr/2"))
    entry = run_json("log", node.url)["checkpoints"][2]
    assert (entry["id"], entry["problem_code"]) == (ids[1], "unsupported-format")


def test_pins_are_marked_and_survive_a_lost_latest(node: FlyteNode, ids: dict[int, str]) -> None:
    with ckptptr.open(node.url, attempt=0) as checkpoints:
        checkpoints.pin(ids[1])
    assert "history, pinned" in run("log", node.url).stdout
    node.latest.unlink()
    assert [e["pinned"] for e in run_json("log", node.url)["checkpoints"]] == [False, False, True]


def test_a_plain_folder_of_stock_flytekit_has_its_line(node: FlyteNode) -> None:
    node.home(0).mkdir(parents=True)
    (node.home(0) / "model.pt").write_bytes(b"12345")
    entry = run_json("log", node.url)["checkpoints"][0]
    assert (entry["id"], entry["bytes"], entry["files"], entry["state"]) == (None, 5, 1, "unnamed")


def test_a_node_without_a_checkpoint_exits_with_3(node: FlyteNode) -> None:
    node.latest.parent.mkdir(parents=True)
    node.latest.write_text("none")
    said = run("log", node.url)
    assert said.exit_code == 3
    assert "No checkpoint of" in said.stdout
    assert "LATEST says none" in said.stdout


def test_the_json_has_these_keys(node: FlyteNode, ids: dict[int, str]) -> None:
    node.save(1, 4)
    log = run_json("log", node.url)
    assert list(log) == ["command", "node", "latest", "checkpoints"]
    first = log["checkpoints"][0]
    assert list(first) == [
        *("checkpoint", "id", "url", "step", "attempt", "seq", "bytes", "files", "published_at"),
        *(
            "published_by",
            "parent",
            "pinned",
            "metadata",
            "index",
            "state",
            "held",
            "problem",
            "problem_code",
        ),
    ]
    assert Path(first["parent"]).stem == ids[3]
    assert Path(first["url"]).exists()
