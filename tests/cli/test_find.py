"""`ckptptr find` lists the nodes of Flyte below a root."""

from __future__ import annotations

from pathlib import Path

import pytest

import ckptptr
from ckptptr.nodes.flyte_paths import NodePrefix
from tests.cli.conftest import EXECUTION, FlyteNode, run, run_json


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two executions; the first has two nodes."""
    data = tmp_path / "data"
    FlyteNode(data).save(0, 1, 2)
    held = FlyteNode(data, "n1")
    held.save(0, 7)
    run("use", held.url, "--step", "7", "--note", "hm")
    other = NodePrefix(root=str(data), project="p", domain="production", execution="other", node="n0")
    with ckptptr.open(other.prefix, attempt=0) as checkpoints:
        checkpoints.save(b"x")
    return data


def test_every_node_is_told_with_its_newest_step_and_whether_it_is_held(root: Path) -> None:
    told = run_json("find", str(root))
    assert list(told) == ["command", "root", "nodes"]
    nodes = {(node["execution"], node["name"]): node for node in told["nodes"]}
    assert {key: (node["step"], node["held"]) for key, node in nodes.items()} == {
        (EXECUTION, "n0"): (2, False),
        (EXECUTION, "n1"): (7, True),
        ("other", "n0"): (None, False),
    }
    assert list(nodes["other", "n0"]) == [
        *("url", "project", "domain", "execution", "name", "state", "checkpoint", "step", "bytes"),
        *("published_at", "held", "note", "problem", "checked"),
    ]
    assert (nodes["other", "n0"]["domain"], nodes["other", "n0"]["bytes"]) == ("production", 1)
    assert nodes[EXECUTION, "n1"]["note"] == "hm"


def test_what_it_prints_is_one_line_for_each_and_can_be_given_to_show(root: Path) -> None:
    said = run("find", str(root))
    assert said.stdout.startswith(f"3 nodes of 2 executions below {root}\n")
    assert len([line for line in said.stdout.splitlines() if "just now" in line]) == 3
    last = said.stdout.rstrip().splitlines()[-1]
    assert run("show", last.rpartition(" ")[2]).exit_code == 0


@pytest.mark.parametrize(
    ("inside", "count"),
    [("_ckptptr", 3), ("_ckptptr/p", 1), (f"_ckptptr/flytesnacks/development/{EXECUTION}", 2)],
)
def test_a_project_or_an_execution_below_it(root: Path, inside: str, count: int) -> None:
    assert len(run_json("find", f"{root}/{inside}")["nodes"]) == count


def test_edited_damaged_and_newer_ones_are_told_and_do_not_stop_it(root: Path) -> None:
    first, second, third = sorted(root.rglob("LATEST"))
    first.write_text("none")
    second.write_text("{")
    third.write_text(third.read_text().replace("ckptptr/1", "ckptptr/2"))
    told = {node["url"]: node for node in run_json("find", str(root), exit_code=9)["nodes"]}
    assert [told[str(path.parent)]["state"] for path in (first, second, third)] == [
        "edited",
        "damaged",
        "newer-format",
    ]
    assert (told[str(first.parent)]["checkpoint"], told[str(first.parent)]["held"]) == ("none", True)
    assert "not a JSON object" in told[str(second.parent)]["problem"]
    said = run("find", str(root)).stdout
    assert "none, held" in said
    assert "Upgrade ckptptr" in said


def test_readable_is_said_of_a_latest_and_good_only_of_what_was_checked(root: Path) -> None:
    first = FlyteNode(root)
    assert "readable" in run("find", str(root)).stdout
    for payload in first.home(0).glob("data/*/_dst_cp"):
        payload.unlink()
    told = {node["url"]: node for node in run_json("find", str(root), "--check", exit_code=9)["nodes"]}
    assert told[first.url]["checked"] == "nothing"
    assert "it is gone" in told[first.url]["problem"]
    assert sorted(node["checked"] for node in told.values()) == ["good", "good", "nothing"]
    assert "nothing good" in run("find", str(root), "--check").stdout
    assert run("find", str(root)).exit_code == 0  # nothing was checked, and nothing else is said


def test_where_there_is_none_it_says_what_was_looked_at(tmp_path: Path) -> None:
    said = run("find", str(tmp_path))
    assert said.exit_code == 3
    assert f"  {tmp_path}/_ckptptr/**/LATEST\n" in said.stderr
    assert "Hint: ROOT is the path before /_ckptptr/" in said.stderr
