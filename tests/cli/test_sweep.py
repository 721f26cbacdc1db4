"""`ckptptr sweep` deletes expired checkpoints and orphans, and asks first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import ckptptr
from tests.cli.conftest import FlyteNode, run, run_json


@pytest.fixture
def littered(node: FlyteNode) -> FlyteNode:
    """An expired checkpoint, and a torn save of an earlier attempt."""
    torn = node.home(0) / "data/0000000009-a0000-abcdefgh"
    torn.mkdir(parents=True)
    (torn / "model.pt").write_bytes(b"x" * 100)
    node.save(0, 1, 2, 3)
    node.save(1, 4)
    return node


def payload(node: FlyteNode) -> list[Path]:
    return [path for path in node.root.rglob("*/data/*/*") if path.is_file()]


def test_a_dry_run_says_what_would_be_deleted_and_deletes_nothing(littered: FlyteNode) -> None:
    before = payload(littered)
    told = run_json("sweep", littered.url, "--dry-run")
    assert sorted(leaving["why"] for leaving in told["checkpoints"]) == ["doomed", "orphan"]
    assert (told["objects"], told["bytes"], told["swept"]) == (2, 107, [])
    said = run("sweep", littered.url, "--dry-run")
    assert said.stdout.startswith("Would be deleted: 2 checkpoints, 107 B in 2 objects.\n  expired  0000")
    assert payload(littered) == before


def test_with_yes_they_go_and_what_latest_names_stays(littered: FlyteNode) -> None:
    said = run("sweep", littered.url, "--yes")
    assert said.exit_code == 0
    assert said.stdout.startswith("Deleted: 2 checkpoints, 107 B in 2 objects.\n")
    log = run_json("log", littered.url)
    assert [(entry["step"], entry["state"]) for entry in log["checkpoints"]] == [
        (4, "target"),
        (3, "history"),
        (2, "history"),
    ]
    assert all(entry["problem"] is None for entry in log["checkpoints"])
    assert len(payload(littered)) == 3
    assert json.loads(littered.latest.read_text())["doomed"] == []
    assert "nothing to sweep" in run("sweep", littered.url).stdout


@pytest.mark.parametrize(("answer", "is_swept"), [("y\n", True), ("n\n", False), ("", False)])
def test_it_asks(littered: FlyteNode, answer: str, is_swept: bool) -> None:
    said = run("sweep", littered.url, stdin=answer)
    assert "2 checkpoints, 107 B in 2 objects of" in said.stderr
    assert said.exit_code == (0 if is_swept else 2)
    assert len(payload(littered)) == (3 if is_swept else 5)


def test_what_is_pinned_stays(littered: FlyteNode) -> None:
    doomed = Path(run_json("log", littered.url)["checkpoints"][-1]["url"])
    doomed.with_suffix(".pin").write_text("{}")
    told = run_json("sweep", littered.url, "--yes")
    assert [leaving["why"] for leaving in told["checkpoints"]] == ["orphan"]
    assert doomed.exists()


def test_what_a_run_has_deleted_itself_is_not_counted(node: FlyteNode) -> None:
    node.save(0, 1, 2, 3)
    node.save(1, 4, 5, 6)
    assert len(json.loads(node.latest.read_text())["doomed"]) > 1
    assert run("sweep", node.url, "--dry-run").stdout.startswith("Would be deleted: 1 checkpoint, 7 B in 1 o")
    shutil.rmtree(node.home(0))
    assert run("sweep", node.url, "--yes").stdout == "There is nothing to sweep.\n"


def test_while_latest_is_held_it_refuses(littered: FlyteNode) -> None:
    run("use", littered.url, "--step", "2")
    said = run("sweep", littered.url, "--yes")
    assert said.exit_code == 2
    assert "`ckptptr release` it first" in said.stderr
    assert len(payload(littered)) == 5


def test_a_damaged_manifest_keeps_its_whole_home(littered: FlyteNode) -> None:
    damaged = next(e for e in run_json("log", littered.url)["checkpoints"] if e["step"] == 3)["id"]
    littered.damage(damaged)
    told = run_json("sweep", littered.url, "--yes")
    assert (told["checkpoints"], len(told["kept"])) == ([], 1)
    assert len(payload(littered)) == 5
    assert "a damaged manifest in the same home" in run("sweep", littered.url).stdout


def continued(root: Path, name: str = "n0") -> FlyteNode:
    """Attempt 1 has let all of attempt 0 expire; of that, step 3 is not deleted yet."""
    node = FlyteNode(root, name)
    node.save(0, 1, 2, 3)
    node.save(1, 4, 5, 6)
    return node


def test_the_only_checkpoint_that_can_be_restored_stays(tmp_path: Path) -> None:
    node = continued(tmp_path / "data")
    shutil.rmtree(node.home(1))
    said = run("sweep", node.url, "--yes").stdout
    assert said.startswith(
        "There is nothing to sweep.\n1 checkpoint stays, since the next attempt would restore"
    )
    told = run_json("sweep", node.url, "--yes")
    assert (told["checkpoints"], len(told["kept"])) == ([], 1)
    assert node.restored(2) == 3


def test_so_it_does_where_it_became_the_only_one_while_the_command_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = continued(tmp_path / "data")
    monkeypatch.setattr("ckptptr.cli.sweep.confirm", lambda *_, **__: shutil.rmtree(node.home(1)))
    told = run_json("sweep", node.url)
    assert (len(told["checkpoints"]), told["swept"], len(told["kept"])) == (1, [], 1)
    assert node.restored(2) == 3


def test_so_it_does_in_each_node_of_an_execution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = (continued(tmp_path / "data", name) for name in ("n0", "n1", "n2"))
    shutil.rmtree(one.home(1))
    monkeypatch.setattr("ckptptr.cli.sweep.confirm", lambda *_, **__: shutil.rmtree(two.home(1)))
    told = run_json("sweep", str(Path(one.url).parent))
    assert (len(told["checkpoints"]), len(told["swept"]), len(told["kept"])) == (2, 1, 2)
    assert [node.restored(2) for node in (one, two, three)] == [3, 3, 6]


def test_an_orphan_that_the_next_attempt_would_restore_stays(node: FlyteNode) -> None:
    node.save(0, 1)
    before = node.latest.read_bytes()
    node.save(0, 2)
    node.latest.write_bytes(before)
    node.save(1, 3, retention=ckptptr.Retention(keep_last=1))
    assert len(run_json("sweep", node.url, "--dry-run")["checkpoints"]) == 2
    shutil.rmtree(node.home(1))
    told = run_json("sweep", node.url, "--yes")
    assert ([leaving["why"] for leaving in told["checkpoints"]], len(told["kept"])) == (["doomed"], 1)
    assert node.restored(2) == 2


def test_the_json_has_these_keys(littered: FlyteNode) -> None:
    told = run_json("sweep", littered.url, "--yes")
    assert list(told) == [
        *("command", "node", "dry_run", "checkpoints", "objects", "bytes", "kept", "swept", "refused"),
    ]
    assert sorted(told["swept"]) == sorted(leaving["reference"] for leaving in told["checkpoints"])
