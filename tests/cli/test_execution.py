"""An execution as TARGET: all its nodes, the worst first, each map task as one row."""

from __future__ import annotations

import re
import threading
from itertools import count
from pathlib import Path

import pytest

from ckptptr.clock import Clock, SystemClock
from ckptptr.inspect.quick import Quick
from ckptptr.protocol.latest import Seen
from ckptptr.stores.open import open_store
from tests.cli.conftest import EXECUTION, FlyteNode, run, run_json


@pytest.fixture
def execution(tmp_path: Path) -> str:
    """A node with a damaged target, a good one, and two map tasks: one small, one large."""
    data = tmp_path / "data"
    first = FlyteNode(data)
    first.damage(first.save(0, 1, 2, 3)[3])
    FlyteNode(data, "n3").save(0, 7)
    for index in range(25):
        FlyteNode(data, f"n1-0-n{index}").save(0, index)
    for index in range(3):
        FlyteNode(data, f"n2_0_i{index}").save(0, index)
    FlyteNode(data, "n1-0-n7").latest.write_text("{")
    run("use", FlyteNode(data, "n1-0-n9").url, "--step", "9")
    return str(Path(first.url).parent)


def test_doctor_lists_the_worst_first_and_a_map_task_as_one_row(execution: str) -> None:
    told = run_json("doctor", execution, exit_code=9)
    assert (told["node"], told["next"], told["execution"]) == (None, None, execution)
    rows = {row["name"]: row for row in told["nodes"]}
    assert [*rows] == ["n1-0-n*", "n0", "n2_0_i*", "n3"]
    large = rows["n1-0-n*"]
    assert (large["nodes"], large["problems"], large["held"], large["damaged"]) == (25, 1, 1, 1)
    assert (large["steps"], large["looked_at"]) == ([0, 24], "LATEST")
    assert large["url"].endswith("/n1-0-n7")
    assert [finding["check"] for finding in rows["n0"]["findings"]] == ["target"]
    assert (rows["n2_0_i*"]["nodes"], rows["n2_0_i*"]["level"]) == (3, "ok")


@pytest.mark.parametrize("command", ["doctor", "report", "find"])
def test_many_nodes_are_read_at_once(
    execution: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first sixteen reads wait for each other: one after the other, none would end."""
    monkeypatch.chdir(tmp_path)  # the report writes its page there
    meeting, turn, read = threading.Barrier(16, timeout=60), count(), Quick.latest

    def met(store: Quick, prefix: str, clock: Clock) -> Seen:
        if next(turn) < meeting.parties:
            meeting.wait()
        return read(store, prefix, clock)

    monkeypatch.setattr(Quick, "latest", met)
    run(command, execution)
    assert next(turn) > meeting.parties


@pytest.mark.flytekit
def test_the_text_names_each_node_that_has_a_problem(execution: str) -> None:
    said = run("doctor", execution).stdout
    assert said.startswith("2 problems and 1 note.\n")
    assert f"30 nodes of {execution}" in said
    assert f"  {execution}/n0\n" in said
    assert "What LATEST names cannot be restored" in said


def test_verify_counts_what_each_latest_names(execution: str) -> None:
    told = run_json("verify", execution, exit_code=4)
    assert len(told["checkpoints"]) == 30
    assert (told["checkpoints"][0]["state"], told["checkpoints"][0]["node"]) == ("damaged", f"{execution}/n0")
    assert {verified["state"] for verified in told["checkpoints"][1:]} == {"good"}
    assert run_json("verify", execution, "--deep", exit_code=4)["bytes_read"] > 0
    lines = run("verify", execution).stdout.splitlines()
    assert lines[0] == f"30 checkpoints of {execution}: 1 of them is not good."
    assert lines[3].split() == ["damaged", "n0", "1", "0", "1"]
    assert ["good", "n1-0-n*", "25", "25", "0"] in [line.split() for line in lines]
    assert run("verify", execution, "--step", "3").exit_code == 2


def test_sweep_asks_once_for_all_nodes_and_leaves_those_that_a_person_holds(execution: str) -> None:
    for name in ("n3", "n2_0_i0"):
        FlyteNode(Path(execution).parents[3], name).save(0, 11, 12, 13)
    asked = run("sweep", execution, stdin="n\n")
    assert asked.exit_code == 2
    assert f"2 checkpoints, 14 B in 2 objects in 2 nodes of {execution}" in asked.stderr
    told = run_json("sweep", execution, "--yes")
    assert {leaving["node"] for leaving in told["checkpoints"]} == {
        f"{execution}/n3",
        f"{execution}/n2_0_i0",
    }
    assert len(told["swept"]) == 2
    assert [*told["refused"]] == [f"{execution}/n1-0-n7", f"{execution}/n1-0-n9"]
    assert "There is nothing to sweep." in run("sweep", execution, "--dry-run").stdout


def test_the_report_is_one_page_with_a_small_picture_of_each_node(
    execution: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run("report", execution)
    assert said.stdout == f"30 nodes of {execution}. The page is ckptptr-{EXECUTION}.html\n"
    page = (tmp_path / f"ckptptr-{EXECUTION}.html").read_text()
    odd = ["n1-0-n7", "n1-0-n9"]  # of the large map task only these
    shown = ["n0", *odd, "n2_0_i0", "n2_0_i1", "n2_0_i2", "n3"]
    assert sorted(re.findall(r"<h1>(\S+): The next attempt", page)) == shown
    assert page.count('<svg class="small"') == len(shown) == page.count('<svg class="picture"')
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    assert "<script" not in page
    told = run_json("report", execution)
    assert [row["name"] for row in told["rows"]] == ["n1-0-n*", "n0", "n2_0_i*", "n3"]
    assert [report["node"].rpartition("/")[2] for report in told["reports"]][:3] == [*odd, "n0"]


def test_other_commands_want_one_node(execution: str) -> None:
    assert "Give one of them as TARGET" in run("show", execution).stderr


def test_a_node_of_a_newer_format_is_damaged_there_and_stops_nothing(execution: str) -> None:
    latest = Path(execution, "n3/LATEST")
    latest.write_text(latest.read_text().replace("ckptptr/1", "ckptptr/2"))
    rows = {row["name"]: row for row in run_json("doctor", execution, exit_code=9)["nodes"]}
    assert rows["n3"]["level"] == "problem"
    reported = {row["name"]: row for row in run_json("report", execution)["rows"]}
    assert (reported["n3"]["damaged"], reported["n3"]["reported"]) == (1, [])


def test_a_latest_that_was_written_since_it_was_listed_is_not_damaged(tmp_path: Path) -> None:
    node = FlyteNode(tmp_path / "data")
    node.save(0, 1, 2, 3)
    store, prefix = open_store(node.url)
    there = node.latest.stat().st_size
    for listed in (there - 200, there, there + 200):
        quick = Quick(store)
        quick.learn({f"{prefix}/LATEST": listed})
        seen = quick.latest(prefix, SystemClock())
        assert seen.pointer is not None
        assert (seen.pointer.target.step, seen.damage) == (3, "")
