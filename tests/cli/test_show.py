"""`ckptptr show` says what a restore then does, whatever happened to LATEST."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path

import pytest

import ckptptr
from ckptptr.testing import Fault
from tests.cli.conftest import FlyteNode, run, run_json


def candidates(node: FlyteNode) -> list[tuple[str, str, int | None]]:
    shown = run_json("show", node.url)
    return [
        (c["outcome"], c["source"], c["checkpoint"]["step"] if c["checkpoint"] else None)
        for c in shown["candidates"]
    ]


def test_it_says_in_words_what_comes_next_and_why(node: FlyteNode, ids: dict[int, str]) -> None:
    said = run("show", node.url)
    assert said.exit_code == 0
    lines = said.stdout.splitlines()
    assert lines[:2] == ["The next attempt resumes from step 3.", "Why: LATEST names it."]
    for word in (ids[3], str(node.latest), "just now", "7 B in 1 file", "no, the next save moves it"):
        assert word in said.stdout
    assert "nothing was moved" in lines[-1]
    assert said.stderr == ""


@pytest.mark.usefixtures("ids")
def test_the_candidates_are_in_the_order_of_a_restore(node: FlyteNode) -> None:
    assert candidates(node) == [("taken", "latest", 3), ("next", "history", 2), ("next", "history", 1)]


def test_it_moves_nothing(node: FlyteNode, ids: dict[int, str]) -> None:
    def everything() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in node.root.rglob("*") if path.is_file()}

    node.latest.write_text(ids[1])
    before = everything()
    run("show", node.url)
    run("log", node.url)
    assert everything() == before


@pytest.mark.parametrize("text", ["{id}\r\n", "\ufeff{id}", '{{"checkpoint": "{id}", "note": "bad loss"}}'])
def test_a_hand_edited_latest_is_held_and_obeyed(node: FlyteNode, ids: dict[int, str], text: str) -> None:
    node.latest.write_text(text.format(id=ids[1]))
    shown = run_json("show", node.url)
    assert (shown["verdict"], shown["checkpoint"]["step"]) == ("pointer", 1)
    assert shown["why"] == "a person chose it, by editing LATEST"
    latest = shown["latest"]
    assert (latest["state"], latest["held"], latest["held_by"]) == ("edited", True, "edit")
    assert "yes, a person edited LATEST" in run("show", node.url).stdout
    assert node.restored(1) == 1


def test_a_checkpoint_that_was_used_says_so_with_its_note(node: FlyteNode, ids: dict[int, str]) -> None:
    run("use", node.url, ids[2], "--note", "3 diverged")
    said = run("show", node.url).stdout
    assert "a person chose it, with `ckptptr use`" in said
    assert "3 diverged" in said
    run("rollback", node.url)
    assert run_json("show", node.url)["why"] == "a person chose it, with `ckptptr rollback`"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"checkpoint": "x",', "LATEST is not a JSON object"),
        (b"", "LATEST is empty"),
        (b"\xff\xff\xff", "LATEST is not text"),
        (b"{}", 'LATEST has no "checkpoint"'),
        (b'{"checkpoint": "a", "checkpoint": "b"}', '"checkpoint" is there twice'),
    ],
)
@pytest.mark.usefixtures("ids")
def test_a_damaged_latest_is_explained_exactly_and_walked_past(
    node: FlyteNode, body: bytes, words: str
) -> None:
    node.latest.write_bytes(body)
    shown = run_json("show", node.url)
    assert (shown["verdict"], shown["checkpoint"]["step"]) == ("walkback", 3)
    assert shown["latest"]["state"] == "damaged"
    assert words in shown["latest"]["damage"]
    first = shown["candidates"][0]
    assert (first["outcome"], first["reference"]) == ("rejected", str(node.latest))
    assert words in first["reason"]
    assert node.restored(1) == 3


def test_a_deleted_latest_is_walked_past_to_the_newest_of_all_attempts(node: FlyteNode) -> None:
    node.save(0, 1)
    node.save(4, 2)  # attempts 1 to 3 died before they saved anything
    node.latest.unlink()
    shown = run_json("show", node.url)
    assert (shown["verdict"], shown["checkpoint"]["step"], shown["as_attempt"]) == ("walkback", 2, 5)
    assert shown["latest"]["state"] == "absent"
    assert "LATEST is absent" in shown["why"]
    assert any("recover mode" in warning for warning in shown["warnings"])
    with ckptptr.open(node.url, read_only=True) as checkpoints:  # an evaluation sees the same
        found = checkpoints.look().found
    assert found is not None
    assert found.reference == shown["checkpoint"]["checkpoint"]


def test_a_damaged_checkpoint_is_rejected_with_the_reason(node: FlyteNode, ids: dict[int, str]) -> None:
    node.damage(ids[3])
    assert candidates(node) == [("rejected", "latest", 3), ("taken", "history", 2), ("next", "history", 1)]
    said = run("show", node.url).stdout
    assert "what LATEST names cannot be restored" in said
    assert "does not have the checksum" in said


def test_the_answer_does_not_depend_on_a_candidate_that_a_restore_would_not_look_at(
    node: FlyteNode, ids: dict[int, str], faults: list[Fault]
) -> None:
    faults.append(Fault(op="read", key=ids[2], times=1000))
    assert candidates(node) == [("taken", "latest", 3), ("unknown", "history", 2)]


@pytest.mark.usefixtures("ids")
def test_an_id_that_a_person_mistyped_is_rejected_as_what_latest_names(node: FlyteNode) -> None:
    node.latest.write_text("0000000009-a0000-abcdefgh")
    shown = run_json("show", node.url)
    assert shown["candidates"][0]["outcome"] == "absent"
    assert shown["candidates"][0]["source"] == "latest"
    assert "no checkpoint of this node has that id" in shown["candidates"][0]["reason"]
    assert (shown["verdict"], shown["checkpoint"]["step"]) == ("walkback", 3)


@pytest.mark.usefixtures("ids")
def test_a_fresh_start_that_was_asked_for_is_no_failure(node: FlyteNode) -> None:
    node.latest.write_text("none\n")
    said = run("show", node.url)
    assert said.exit_code == 0
    assert "The next attempt starts fresh." in said.stdout
    assert run_json("show", node.url)["checkpoint"] is None


def test_nothing_to_restore_is_shown_and_exits_with_3(node: FlyteNode, ids: dict[int, str]) -> None:
    for identifier in ids.values():
        node.damage(identifier)
    said = run("show", node.url)
    assert said.exit_code == 3
    assert "nothing that can be restored was found" in said.stdout
    assert said.stdout.count("rejected") == 3


def test_a_plain_folder_of_stock_flytekit_is_found_and_marked_unverified(node: FlyteNode) -> None:
    node.home(0).mkdir(parents=True)
    (node.home(0) / "model.pt").write_bytes(b"12345")
    shown = run_json("show", node.url)
    assert shown["verdict"] == "plain"
    assert (shown["checkpoint"]["id"], shown["checkpoint"]["bytes"]) == (None, 5)
    assert "cannot be verified" in shown["warnings"][0]


def test_a_checkpoint_of_another_execution_is_taken_with_a_word_about_it(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    theirs = node.manifest(ids[2])
    other = Path(str(node.url).replace("axq2rsxnmht57kq9sxpt", "another"))
    home = node.root / "zz/another-n0-0/_flytecheckpoints/manifests"
    home.mkdir(parents=True)
    (node.home(0) / "data").rename(home.parent / "data")
    node.manifest(ids[2]).rename(home / theirs.name)
    other.mkdir(parents=True)
    (other / "LATEST").write_text(str(home / theirs.name))
    shown = run_json("show", str(other))
    assert "it belongs to execution" in shown["warnings"][0]


def test_outside_flyte_the_prefix_of_open_is_the_target() -> None:
    url = f"memory://{uuid.uuid4().hex}/run-42"
    with ckptptr.open(url) as checkpoints:
        checkpoints.save(b"x", step=7)
    shown = run_json("show", f"{url}/")
    assert (shown["node"], shown["checkpoint"]["step"], shown["as_attempt"]) == (url, 7, 1)


def test_a_note_cannot_write_over_the_screen(node: FlyteNode, ids: dict[int, str]) -> None:
    node.latest.write_text(json.dumps({"checkpoint": ids[1], "note": "\x1b[2J\nall is well"}))
    said = run("show", node.url).stdout
    assert "\x1b" not in said
    assert "\\x1b[2J\\nall is well" in said


def test_the_json_has_these_keys(node: FlyteNode, ids: dict[int, str]) -> None:
    shown = run_json("show", node.url)
    assert list(shown) == [
        *("command", "node", "as_attempt", "verdict", "why", "warnings", "checkpoint", "latest"),
        *("candidates", "engine", "engine_why", "block_bytes", "blocks_at_once", "connections"),
    ]
    assert (shown["engine"], shown["engine_why"]) == ("this machine's disk", "no network is between")
    assert shown["connections"] is None
    published = shown["checkpoint"].pop("published_at")
    assert abs(time.time() - time.mktime(time.strptime(f"{published} UTC", "%Y-%m-%dT%H:%M:%SZ %Z"))) < 86400
    by = shown["checkpoint"].pop("published_by")
    assert shown["checkpoint"] == {
        "checkpoint": f"{node.home(0).relative_to(node.root)}/manifests/{ids[3]}.json",
        "id": ids[3],
        "url": str(node.manifest(ids[3])),
        "step": 3,
        "attempt": 0,
        "seq": 3,
        "bytes": 7,
        "files": 1,
        "parent": None,
        "pinned": False,
        "metadata": {},
    }
    assert published <= shown["latest"].pop("moved_at") <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert shown["latest"] == {
        "url": str(node.latest),
        "state": "written",
        "checkpoint": f"{node.home(0).relative_to(node.root)}/manifests/{ids[3]}.json",
        "step": 3,
        "held": False,
        "held_by": None,
        "note": "",
        "fence": 0,
        "written_by": by,
        "damage": None,
        "guarantee": "compare-and-swap",
        "moved_by": by,
        "moved_with": "save",
    }
    assert list(shown["candidates"][0]) == ["outcome", "reference", "source", "reason", "checkpoint"]
