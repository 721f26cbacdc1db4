"""`ckptptr verify` finds what a restore would reject, by sizes or by every byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.testing import Fault
from tests.cli.conftest import FlyteNode, run, run_json


def states(told: dict[str, Any]) -> list[tuple[int | None, str]]:
    return [(verified["checkpoint"]["step"], verified["state"]) for verified in told["checkpoints"]]


def payload(node: FlyteNode, identifier: str) -> Path:
    return node.home(0) / "data" / identifier / "_dst_cp"


def test_by_itself_it_looks_at_what_latest_points_to(node: FlyteNode, ids: dict[int, str]) -> None:
    run("use", node.url, ids[1])
    assert states(run_json("verify", node.url)) == [(1, "good")]
    said = run("verify", node.url)
    assert said.stdout.startswith("Step 1 is good: each file has its size.\n")
    assert "no payload was fetched" in said.stdout


@pytest.mark.usefixtures("ids")
def test_sizes_need_no_payload_and_deep_fetches_all_of_it(node: FlyteNode, faults: list[Fault]) -> None:
    assert run_json("verify", node.url, "--all", "--deep")["bytes_read"] == 3 * 7
    faults.append(Fault(op="download", times=1000))
    assert run_json("verify", node.url, "--all")["bytes_read"] == 0
    assert run("verify", node.url, "--deep").exit_code == 6


def test_a_wrong_bit_is_found_by_deep_alone(node: FlyteNode, ids: dict[int, str]) -> None:
    payload(node, ids[2]).write_bytes(b"state X")
    assert states(run_json("verify", node.url, "--all")) == [(3, "good"), (2, "good"), (1, "good")]
    told = run_json("verify", node.url, "--all", "--deep", exit_code=4)
    assert states(told) == [(3, "good"), (2, "damaged"), (1, "good")]
    assert told["checkpoints"][1]["problems"] == [
        {
            "path": "_dst_cp",
            "object": str(payload(node, ids[2])),
            "problem": "it does not have the digest that it was saved with",
        }
    ]
    said = run("verify", node.url, "--step", "2", "--deep")
    assert said.exit_code == 4
    assert said.stdout.startswith("1 checkpoint is not good.\n")


def test_what_is_deleted_or_of_another_size_is_found_by_sizes(node: FlyteNode, ids: dict[int, str]) -> None:
    payload(node, ids[3]).write_bytes(b"longer than it was")
    payload(node, ids[2]).unlink()
    told = run_json("verify", node.url, "--all", exit_code=4)
    problems = [verified["problems"][0]["problem"] for verified in told["checkpoints"][:2]]
    assert problems == ["it has 18 bytes, 7 were saved", "it is gone"]


def test_damaged_and_vanished_manifests_are_told(node: FlyteNode, ids: dict[int, str]) -> None:
    node.damage(ids[3])
    node.manifest(ids[2]).unlink()
    told = run_json("verify", node.url, "--all", exit_code=4)
    assert states(told) == [(3, "damaged"), (1, "good"), (2, "gone")]
    assert told["checkpoints"][0]["problems"][0]["path"] is None


def test_a_newer_format_is_no_damage(node: FlyteNode, ids: dict[int, str]) -> None:
    path = node.manifest(ids[1])
    path.write_text(path.read_text().replace("ckptptr/1", "ckptptr/2"))
    told = run_json("verify", node.url, "--all", exit_code=5)
    assert states(told)[2] == (1, "newer-format")


def test_a_chosen_one_that_is_not_there_is_an_error(node: FlyteNode, ids: dict[int, str]) -> None:
    said = run("verify", node.url, "0000000009-a0000-abcdefgh")
    assert said.exit_code == 3
    assert "To see what can be chosen" in said.stderr
    assert run("verify", node.url, ids[1], "--all").exit_code == 2


def test_expired_checkpoints_are_not_among_all(node: FlyteNode) -> None:
    node.save(0, 1, 2, 3, 4)
    assert states(run_json("verify", node.url, "--all")) == [(4, "good"), (3, "good"), (2, "good")]


@pytest.mark.parametrize("flags", [[], ["--deep"]])
def test_a_plain_folder_is_unverified(node: FlyteNode, flags: list[str]) -> None:
    node.home(0).mkdir(parents=True)
    (node.home(0) / "model.pt").write_bytes(b"12345")
    assert states(run_json("verify", node.url, *flags)) == [(None, "unverified")]
    assert "no digests" in run("verify", node.url, *flags).stdout


def test_nothing_to_verify_exits_with_3(tmp_path: Path) -> None:
    with ckptptr.open(str(tmp_path / "run")):
        pass
    assert run("verify", str(tmp_path / "run")).exit_code == 3


@pytest.mark.usefixtures("ids")
def test_the_json_has_these_keys(node: FlyteNode) -> None:
    told = run_json("verify", node.url)
    assert list(told) == ["command", "node", "deep", "bytes_read", "checkpoints"]
    assert list(told["checkpoints"][0]) == ["checkpoint", "state", "problems", "node"]
    assert told["checkpoints"][0]["checkpoint"] == run_json("show", node.url)["checkpoint"]
