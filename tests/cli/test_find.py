"""`ckptptr find` lists the nodes of Flyte below a root."""

from __future__ import annotations

import os
import time
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
    assert list(told) == ["command", "root", "nodes", "summary"]
    assert told["summary"] == {"nodes": 3, "damaged": 0, "held": 1, "readable": 2}
    nodes = {(node["execution"], node["name"]): node for node in told["nodes"]}
    assert {key: (node["step"], node["held"]) for key, node in nodes.items()} == {
        (EXECUTION, "n0"): (2, False),
        (EXECUTION, "n1"): (7, True),
        ("other", "n0"): (None, False),
    }
    assert list(nodes["other", "n0"]) == [
        *("url", "project", "domain", "execution", "name", "state", "checkpoint", "step", "bytes"),
        *("published_at", "held", "note", "problem", "checked", "written_at"),
    ]
    assert (nodes["other", "n0"]["domain"], nodes["other", "n0"]["bytes"]) == ("production", 1)
    assert nodes[EXECUTION, "n1"]["note"] == "hm"


def test_what_it_prints_is_one_line_for_each_and_can_be_given_to_show(root: Path) -> None:
    said = run("find", str(root))
    assert said.stdout.startswith(f"3 nodes of 2 executions below {root}\n1 held, 2 readable\n")
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


def names(*arguments: str, exit_code: int = 0) -> list[str]:
    return sorted(node["name"] for node in run_json("find", *arguments, exit_code=exit_code)["nodes"])


def test_filters_list_what_is_held_or_damaged_and_the_summary_is_still_of_all(root: Path) -> None:
    FlyteNode(root, "n2").save(0, 1)
    FlyteNode(root, "n2").latest.write_text("{")
    assert names(str(root), "--held", exit_code=9) == ["n1"]
    assert names(str(root), "--damaged", exit_code=9) == ["n2"]
    assert names(str(root), "--damaged", "--held", exit_code=9) == ["n1", "n2"]
    said = run("find", str(root), "--damaged").stdout
    assert said.splitlines()[1] == "1 damaged, 1 held, 2 readable"
    assert " n1 " not in said


def test_a_project_and_an_age_choose_which_nodes_count(root: Path) -> None:
    assert names(str(root), "--project", "p") == ["n0"]
    assert run_json("find", str(root), "--project", "p")["summary"]["nodes"] == 1
    typo = run("find", str(root), "--project", "flytesnack")
    assert (typo.exit_code, "Projects with nodes here: flytesnacks, p" in typo.stderr) == (3, True)
    old = FlyteNode(root).latest
    os.utime(old, (time.time() - 40 * 86400,) * 2)
    (node,) = run_json("find", str(root), "--older-than", "30d")["nodes"]
    assert (node["url"], node["written_at"] < node["published_at"]) == (str(old.parent), True)
    assert names(str(root), "--older-than", "6w") == []
    none = run("find", str(root), "--older-than", "6w")
    assert (none.exit_code, "but 0 if --older-than" in run("find", "--help").stdout) == (0, True)
    assert none.stdout == f"0 nodes of 0 executions below {root}\n"
    assert "such as 45m, 12h, 30d or 6w" in run("find", str(root), "--older-than", "soon").stderr


def test_the_indices_of_a_map_task_are_one_line(root: Path) -> None:
    for index in range(3):
        FlyteNode(root, f"n3-0-n{index}").save(0, 10 + index)
    run("use", FlyteNode(root, "n3-0-n1").url, "--step", "11")
    FlyteNode(root, "n3-0-n2").latest.write_text("{")
    line = next(line for line in run("find", str(root)).stdout.splitlines() if " n3-0-n* " in line)
    assert line.split()[4:] == [
        *("10", "to", "11", "16", "B", "1", "damaged;", "1", "held;", "1", "readable"),
        *(EXECUTION, "n3-0-n*", "3", "flytesnacks/development"),
    ]
    assert len(run_json("find", str(root), exit_code=9)["nodes"]) == 6


@pytest.mark.slow
def test_nodes_of_flyte_2_are_found_below_their_shards(tmp_path: Path) -> None:
    action = NodePrefix(
        root=str(tmp_path / "xy/org/run"), project="p", domain="d", execution="run", node="a0_v2"
    )
    with ckptptr.open(action.prefix, attempt=1) as checkpoints:
        checkpoints.save(b"x", step=4)
    for base in (tmp_path, tmp_path / "org", tmp_path / "org/run"):
        (node,) = run_json("find", "--flyte-2", str(base))["nodes"]
        assert (node["url"], node["step"]) == (action.prefix, 4)
