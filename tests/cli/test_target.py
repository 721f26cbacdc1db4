"""What TARGET may be, and that a typo never looks like "no checkpoints"."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.nodes.flyte_paths import NodePrefix
from tests.cli.conftest import EXECUTION, FlyteNode, run, run_json


def failure(*arguments: str) -> tuple[int, dict[str, Any]]:
    said = run("show", *arguments, "--json")
    assert said.stdout == ""
    return said.exit_code, json.loads(said.stderr)["error"]


@pytest.mark.parametrize("ending", ["", "/", "/LATEST", "/../n0"])
@pytest.mark.usefixtures("ids")
def test_a_node_prefix_in_these_spellings(node: FlyteNode, ending: str) -> None:
    if ".." in ending:
        assert failure(node.url + ending)[0] == 2
    else:
        assert run_json("show", node.url + ending)["node"] == node.url


@pytest.mark.usefixtures("ids")
def test_a_relative_path_and_a_file_url(node: FlyteNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(node.root)
    for target in (str(Path(node.url).relative_to(node.root)), f"file://{node.url}"):
        assert run_json("show", target)["node"] == node.url


@pytest.mark.usefixtures("ids")
def test_an_execution_with_one_node_is_that_node(node: FlyteNode) -> None:
    assert run_json("show", str(Path(node.url).parent))["node"] == node.url


@pytest.mark.usefixtures("ids")
def test_an_execution_with_several_nodes_lists_them(node: FlyteNode) -> None:
    other = FlyteNode(node.root, "n1")
    other.save(0, 1)
    exit_code, error = failure(str(Path(node.url).parent))
    assert exit_code == 2
    assert error["nodes"] == [node.url, other.url]
    said = run("show", str(Path(node.url).parent))
    assert f"  {node.url}\n  {other.url}\nHint: Give one of them as TARGET" in said.stderr


@pytest.mark.parametrize(
    "below", ["", "/_ckptptr", "/_ckptptr/flytesnacks", "/_ckptptr/flytesnacks/development"]
)
@pytest.mark.usefixtures("ids")
def test_above_an_execution_the_nodes_are_listed(node: FlyteNode, below: str) -> None:
    exit_code, error = failure(f"{node.root}{below}")
    assert (exit_code, error["nodes"]) == (2, [node.url])


def test_many_nodes_are_not_all_printed(node: FlyteNode) -> None:
    for number in range(25):
        path = FlyteNode(node.root, f"n{number}").latest
        path.parent.mkdir(parents=True)
        path.write_text("none")
    _, error = failure(str(node.root))
    assert error["message"].startswith("25 nodes")
    assert error["nodes"][-1] == "... and 5 more"


@pytest.mark.usefixtures("ids")
def test_a_folder_inside_a_node_prefix_leads_to_it(node: FlyteNode) -> None:
    exit_code, error = failure(f"{node.url}/deeper/still")
    assert (exit_code, error["hint"]) == (2, f"Give {node.url}")


@pytest.mark.usefixtures("ids")
def test_a_wrong_node_says_everything_that_was_looked_at(node: FlyteNode) -> None:
    wrong = FlyteNode(node.root, "n9")
    exit_code, error = failure(wrong.url)
    assert (exit_code, error["code"]) == (3, "not-found")
    assert error["looked_at"][:2] == [str(wrong.latest), f"{wrong.home(0)}/"]
    assert len(error["looked_at"]) == 11
    assert error["nodes"] == [node.url]


def test_a_wrong_bucket_says_everything_that_was_looked_at() -> None:
    said = run("log", "memory://no-such-bucket/run")
    assert said.exit_code == 3
    assert said.stdout == ""
    for name in ("LATEST", "attempts/", "claims/", "_ckptptr/"):
        assert f"  memory://no-such-bucket/run/{name}\n" in said.stderr
    assert "Check the bucket" in said.stderr


@pytest.mark.usefixtures("ids")
def test_a_wrong_execution_says_where_a_node_is(node: FlyteNode) -> None:
    exit_code, error = failure(f"{Path(node.url).parents[1]}/typo")
    assert exit_code == 3
    assert "If LATEST was deleted, give the full node path" in error["hint"]


def test_nothing_is_written_where_there_is_nothing(node: FlyteNode, ids: dict[int, str]) -> None:
    wrong = FlyteNode(node.root, "n9")
    assert run("use", wrong.url, str(node.manifest(ids[1]))).exit_code == 3
    assert not wrong.latest.exists()


@pytest.mark.parametrize("inside", ["", "/", "/manifests", "/data/whatever"])
@pytest.mark.usefixtures("ids")
def test_the_checkpoint_path_of_a_pod_leads_to_its_node(node: FlyteNode, inside: str) -> None:
    assert run_json("show", f"{node.home(0)}{inside}")["node"] == node.url
    # This attempt has never saved, so that only LATEST tells whose home it is.
    assert run_json("show", f"{node.home(7)}{inside}")["node"] == node.url


@pytest.mark.usefixtures("ids")
def test_with_latest_gone_the_manifests_in_a_home_tell_the_node(node: FlyteNode) -> None:
    node.latest.unlink()
    assert run_json("show", str(node.home(0)))["node"] == node.url


def test_a_home_whose_uid_flyte_hashed_is_found_by_its_hash(tmp_path: Path) -> None:
    prefix = NodePrefix(root=str(tmp_path), project="p", domain="d", execution="e" * 60, node="n0")
    with ckptptr.open(prefix.prefix, attempt=3) as checkpoints:
        checkpoints.save(b"x", step=1)
    (home,) = prefix.homes_of(3)
    assert prefix.execution not in home
    assert run_json("show", home)["node"] == prefix.prefix


def test_the_home_of_an_index_of_a_legacy_map_task_is_found(tmp_path: Path) -> None:
    prefix = NodePrefix(root=str(tmp_path), project="p", domain="d", execution="exec", node="n0_1_i5")
    with ckptptr.open(prefix.prefix, attempt=2) as checkpoints:
        checkpoints.save(b"x", step=1)
    (home,) = prefix.homes_of(2)
    assert home.endswith("/5/2/_flytecheckpoints")
    assert run_json("show", home)["node"] == prefix.prefix


@pytest.mark.usefixtures("ids")
def test_a_home_that_nothing_tells_the_node_of_says_so(node: FlyteNode) -> None:
    exit_code, error = failure(str(FlyteNode(node.root, "n9").home(0)))
    assert exit_code == 3
    assert "Give the node: <root>/_ckptptr/" in error["hint"]
    assert failure(f"{node.root}/not/a/home/_flytecheckpoints")[0] == 3


@pytest.mark.parametrize("name", ["{e}", "{e}/n0", "development/{e}", "flytesnacks/development/{e}/n0"])
@pytest.mark.usefixtures("ids")
def test_the_name_of_an_execution_and_a_root(node: FlyteNode, name: str) -> None:
    target = name.format(e=EXECUTION)
    assert run_json("show", target, "--root", str(node.root))["node"] == node.url


@pytest.mark.usefixtures("ids")
def test_an_execution_of_several_nodes_asks_which_and_a_wrong_name_is_told(node: FlyteNode) -> None:
    second = FlyteNode(node.root, "n1")
    second.save(0, 1)
    exit_code, error = failure(EXECUTION, "--root", str(node.root))
    assert (exit_code, error["nodes"]) == (2, [node.url, second.url])
    assert run_json("show", f"{EXECUTION}/n1", "--root", str(node.root))["node"] == second.url
    assert failure("axq2", "--root", str(node.root))[0] == 2
    for wrong in ("n1", "flytesnacks", "xq2"):
        assert failure(wrong, "--root", str(node.root))[0] == 3
    assert "needs --root" in failure(EXECUTION)[1]["hint"]


def test_a_run_that_never_saved_is_there_all_the_same(tmp_path: Path) -> None:
    with ckptptr.open(str(tmp_path / "run")):
        pass
    said = run("show", str(tmp_path / "run"))
    assert said.exit_code == 3
    assert "The next attempt starts fresh." in said.stdout


def test_the_attempt_can_be_given_where_too_many_in_a_row_left_nothing(node: FlyteNode) -> None:
    node.save(15, 1)
    node.latest.unlink()
    assert failure(node.url)[0] == 3
    assert run_json("show", node.url, "--attempt", "16")["checkpoint"]["step"] == 1


def test_the_second_spelling_of_a_home_that_flyte_may_have_used_is_looked_at(tmp_path: Path) -> None:
    # Longer than the 47 bytes of a Ray task, not than 50: two homes are possible.
    node = FlyteNode(tmp_path, "n" * 20)
    long = node.url.replace("axq2rsxnmht57kq9sxpt", "e" * 26)
    _, error = failure(long)
    assert len(error["looked_at"]) == 21


@pytest.mark.usefixtures("ids")
def test_the_beginning_of_a_name_will_do_where_only_one_begins_so(node: FlyteNode) -> None:
    above = str(Path(node.url).parents[1])
    for arguments in (["axq2", "--root", str(node.root)], [f"{above}/axq2"], [f"{node.url[:-1]}"]):
        said = run("show", *arguments)
        assert said.exit_code == 0, said.stderr
        assert f"TARGET is taken as {node.url}\n" in said.stderr
        assert f"  at          {node.latest}" in said.stdout
    FlyteNode(node.root, "n1").save(0, 1)
    exit_code, error = failure(f"{node.url[:-1]}")
    assert (exit_code, len(error["nodes"])) == (2, 2)


@pytest.mark.usefixtures("ids")
def test_a_name_that_exists_is_never_taken_for_the_beginning_of_another(node: FlyteNode) -> None:
    FlyteNode(node.root, "n00").save(0, 9)
    node.latest.unlink()  # its homes are there all the same
    assert run_json("show", node.url)["checkpoint"]["step"] == 3


@pytest.mark.usefixtures("ids")
def test_names_that_look_alike_are_offered(node: FlyteNode) -> None:
    typo = EXECUTION.replace("nmht", "nmth")
    assert failure(typo, "--root", str(node.root))[1]["nodes"] == [node.url]
    assert failure(f"{Path(node.url).parents[1]}/{typo}")[1]["nodes"] == [node.url]


@pytest.mark.parametrize("inside", ["", "/manifests", "/data/x"])
def test_a_home_that_was_copied_elsewhere_stands_alone(
    node: FlyteNode, ids: dict[int, str], tmp_path: Path, inside: str
) -> None:
    home = tmp_path / "backup"
    shutil.copytree(node.home(0), home)
    shutil.rmtree(node.root)
    target = f"{home}{inside}"
    shown = run_json("show", target)
    assert (shown["checkpoint"]["id"], shown["checkpoint"]["step"]) == (ids[3], 3)
    assert "a home alone" in shown["warnings"][0]
    assert run_json("verify", target, "--all", "--deep")["bytes_read"] == 21
    run_json("get", target, "--step", "2", str(tmp_path / "out"))
    assert (tmp_path / "out/_dst_cp").read_text() == "state 2"
    for command in (["use", target, ids[2]], ["drop", target, ids[2], "--yes"], ["sweep", target, "--yes"]):
        assert run(*command).exit_code == 2
    assert not (home / "LATEST").exists()


@pytest.mark.usefixtures("ids")
def test_a_copy_without_the_homes_says_so(node: FlyteNode, tmp_path: Path) -> None:
    shutil.copytree(node.root / "_ckptptr", tmp_path / "copy/_ckptptr")
    copy = FlyteNode(tmp_path / "copy")
    assert "the homes were not copied" in run("show", copy.url).stdout
    told = run_json("doctor", copy.url, exit_code=9)
    assert "homes-missing" in {finding["check"] for finding in told["findings"]}
    assert "the homes were not copied" not in run("doctor", node.url).stdout
