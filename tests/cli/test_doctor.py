"""`ckptptr doctor` finds what is wrong, says what to type, and changes nothing."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import ckptptr
from ckptptr import errors
from ckptptr.cli.checks import environment
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.clock import SystemClock
from ckptptr.stores.port import Guarantee
from ckptptr.testing import Fault, FaultyStore
from tests.cli.conftest import FlyteNode, run, run_json, run_line


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CKPTPTR_DISABLE", "CKPTPTR_KEEP_LAST", "CKPTPTR_KEEP_EVERY", "CKPTPTR_GUARANTEE"):
        monkeypatch.delenv(name, raising=False)


def found(node: FlyteNode, *, exit_code: int = 0) -> dict[str, dict[str, Any]]:
    """What is not ok, by the name of the check."""
    told = run_json("doctor", node.url, exit_code=exit_code)
    assert (told["findings"][0]["level"] == "problem") == (exit_code == ExitCode.PROBLEMS)
    return {finding["check"]: finding for finding in told["findings"] if finding["level"] != "ok"}


@pytest.mark.flytekit
def test_where_nothing_is_wrong_it_says_so_and_what_comes_next(node: FlyteNode, ids: dict[int, str]) -> None:
    said = run("doctor", node.url)
    assert said.exit_code == 0
    lines = said.stdout.splitlines()
    assert lines[0] == "Nothing is wrong."
    assert "The next attempt resumes from step 3." in lines
    assert f"  1. It takes step 3 ({ids[3]}), which LATEST names." in lines
    assert f"  2. If its payload is damaged: step 2 ({ids[2]}), from the history of LATEST." in lines
    assert "ok        The store moves LATEST by compare-and-swap." in lines


@pytest.mark.usefixtures("ids")
def test_it_changes_nothing(node: FlyteNode) -> None:
    def everything() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in node.root.rglob("*") if path.is_file()}

    node.latest.write_text("{")
    before = everything()
    run("doctor", node.url)
    assert everything() == before


@pytest.mark.usefixtures("ids")
def test_an_absent_latest_is_a_note_and_nothing_has_to_be_done(node: FlyteNode) -> None:
    node.latest.unlink()
    finding = found(node)["latest-absent"]
    assert (finding["level"], finding["object"]) == ("note", str(node.latest))
    assert (finding["todo"], finding["type"]) == ("nothing", None)
    assert "note      Nothing to do. LATEST is absent." in run("doctor", node.url).stdout


@pytest.mark.parametrize("upload", [[], ["LATEST"]])
@pytest.mark.usefixtures("ids")
def test_a_folder_called_latest_on_a_disk_stops_every_save_until_a_person_moves_it(
    node: FlyteNode, upload: list[str]
) -> None:
    node.latest.unlink()
    node.latest.mkdir()
    for name in upload:
        (node.latest / name).write_text("none")
    with pytest.raises(errors.InvalidArgumentError, match="Remove or rename this folder"):
        node.restored(1)
    findings = found(node, exit_code=9)
    assert "latest-absent" not in findings
    finding = findings["latest-folder"]
    assert (finding["todo"], finding["object"]) == ("act", str(node.latest))
    subprocess.run(shlex.split(finding["type"]), check=True)
    assert node.restored(1) == 3


@pytest.mark.usefixtures("ids")
def test_a_damaged_latest_is_a_problem_that_heals_by_itself_and_its_kept_bytes_a_note(
    node: FlyteNode,
) -> None:
    node.latest.write_text("{")
    finding = found(node, exit_code=9)["latest-damaged"]
    assert "LATEST is not a JSON object" in finding["what"]
    assert (finding["todo"], finding["type"]) == ("nothing", None)
    node.restored(1)
    kept = found(node)["kept"]
    assert Path(kept["object"]).read_text() == "{"


def test_a_hold_says_by_whom_since_when_and_how_to_take_it_off(node: FlyteNode, ids: dict[int, str]) -> None:
    run("use", node.url, ids[1], "--note", "2 diverged")
    finding = found(node)["latest-held"]
    written = json.loads(node.latest.read_text())
    author, moment = written["moved_by"], written["moved_at"]
    assert finding["what"].startswith(f'{author} holds LATEST, with the note "2 diverged"')
    assert f"with `ckptptr use` (just now, {moment[:10]} {moment[11:19]} UTC)" in finding["what"]
    assert (finding["level"], finding["type"]) == ("note", f"ckptptr release {node.url} {ids[3]}")
    run("pin", node.url, ids[2])  # it writes LATEST, and does not move it
    assert found(node)["latest-held"]["what"].startswith(f"{author} holds LATEST")


def test_an_edit_is_told_and_so_is_what_was_committed_beside_it(node: FlyteNode, ids: dict[int, str]) -> None:
    node.latest.write_text(ids[1])
    before, after = (time.time() + hours * 3600 for hours in (-1, 1))
    os.utime(node.latest, (after, after))
    finding = found(node)["latest-held"]
    assert finding["what"].startswith("A person edited LATEST (in the future, ")
    assert "It does not name 2 newer checkpoints (steps 2 to 3)" in finding["what"]
    os.utime(node.latest, (before, before))
    finding = found(node, exit_code=9)["latest-held"]
    assert finding["what"].startswith("A person edited LATEST (1 hour ago, ")
    assert "Meanwhile 2 newer checkpoints were committed beside it (steps 2 to 3)" in finding["what"]
    assert (finding["todo"], finding["type"]) == ("decide", f"ckptptr release {node.url} {ids[3]}")


def test_a_target_that_is_gone_or_damaged_is_a_problem(node: FlyteNode, ids: dict[int, str]) -> None:
    node.damage(ids[3])
    finding = found(node, exit_code=9)["target"]
    assert "does not have the checksum" in finding["what"]
    assert (finding["todo"], finding["type"]) == ("nothing", None)
    node.manifest(ids[3]).unlink()
    assert "there is no such" in found(node, exit_code=9)["target"]["what"]


@pytest.mark.parametrize("text", ["5", "step 5", "#2", "./attempts/1/x", '{"checkpoint": "null"}'])
@pytest.mark.usefixtures("ids")
def test_an_edit_that_names_no_checkpoint_is_for_a_person_to_decide(node: FlyteNode, text: str) -> None:
    node.latest.write_text(text)
    finding = found(node, exit_code=9)["target"]
    said = "null" if "null" in text else text
    assert finding["what"].startswith(f"A person edited LATEST to {said!r}, which cannot be restored: ")
    assert finding["what"].endswith("The edit is not followed: choose with `ckptptr use`.")
    assert (finding["todo"], finding["object"]) == ("decide", str(node.latest))
    assert finding["type"] == f"ckptptr log {node.url}"


def test_an_edit_to_a_home_is_followed_past_a_damaged_checkpoint(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    node.damage(ids[3])
    node.latest.write_text(str(node.home(0)))
    finding = found(node, exit_code=9)["target"]
    assert finding["todo"] == "nothing"
    assert finding["object"].endswith(f"{ids[3]}.json")


def test_a_history_entry_that_is_gone_is_a_note_and_a_damaged_one_a_problem(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    node.manifest(ids[1]).unlink()
    assert "names a checkpoint that is deleted" in found(node)["history"]["what"]
    node.damage(ids[2])
    told = run_json("doctor", node.url, exit_code=9)
    assert [f["level"] for f in told["findings"] if f["check"] == "history"] == ["problem", "note"]


def test_payload_that_is_gone_or_too_short_is_found_by_its_size(node: FlyteNode, ids: dict[int, str]) -> None:
    data = node.home(0) / "data" / ids[3] / "_dst_cp"
    data.write_bytes(b"short")
    finding = found(node, exit_code=9)["payload"]
    assert "it has 5 bytes, 7 were saved" in finding["what"]
    assert finding["object"] == str(data)
    data.unlink()
    assert "it is gone" in found(node, exit_code=9)["payload"]["what"]


def test_where_all_is_damaged_it_says_that_the_next_attempt_starts_from_scratch(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    for identifier in ids.values():
        node.damage(identifier)
    assert "none can be restored" in found(node, exit_code=9)["nothing-good"]["what"]


def test_expired_checkpoints_and_torn_saves_are_told_with_their_bytes(node: FlyteNode) -> None:
    node.save(0, 1, 2, 3, 4)
    torn = node.home(0) / "data/0000000009-a0000-abcdefgh"
    torn.mkdir()
    (torn / "model.pt").write_bytes(b"x" * 2048)
    notes = found(node)
    assert "1 expired checkpoint is not deleted yet (7 B)" in notes["doomed"]["what"]
    assert "1 save was begun here and not committed (2.0 KiB)" in notes["uncommitted"]["what"]
    assert notes["uncommitted"]["object"] == str(torn)
    assert notes["doomed"]["type"] == f"ckptptr sweep {node.url} --dry-run"


@pytest.mark.usefixtures("ids")
def test_where_only_an_expired_checkpoint_can_be_restored_it_says_how_to_save_it(
    node: FlyteNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    node.save(1, 4, 5, 6)
    shutil.rmtree(node.home(1))
    finding = found(node, exit_code=9)["doomed"]
    assert "the next attempt resumes from step 3" in finding["what"]
    assert (finding["level"], finding["todo"]) == ("problem", "decide")
    for line in finding["type"].split(" && "):
        assert run_line(line).exit_code == 0
    assert "Only what is expired" not in run("doctor", node.url).stdout
    assert node.restored(2) == 3


@pytest.mark.usefixtures("ids")
def test_an_attempt_above_the_fence_is_told(node: FlyteNode) -> None:
    torn = node.home(1) / "data/0000000004-a0001-abcdefgh"
    torn.mkdir(parents=True)
    (torn / "x").write_bytes(b"x")
    assert "Attempt 1 has files in its home, but no checkpoint" in found(node)["fence"]["what"]


@pytest.mark.usefixtures("ids")
def test_an_attempt_that_was_only_asked_about_has_left_nothing(node: FlyteNode) -> None:
    told = run_json("doctor", node.url, "--attempt", "7")
    assert "fence" not in {finding["check"] for finding in told["findings"]}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            errors.AccessDeniedError("refused", hint="Grant s3:ListBucketMultipartUploads"),
            "cannot be listed: refused. Grant",
        ),
        (errors.InvalidArgumentError("the store does not offer this operation"), None),
    ],
)
@pytest.mark.usefixtures("ids", "faults")
def test_uploads_that_cannot_be_listed_are_no_problem(
    node: FlyteNode,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    words: str | None,
) -> None:
    def unfinished(*_: object) -> list[object]:
        raise error

    store = SimpleNamespace(unfinished=unfinished)
    monkeypatch.setattr("ckptptr.cli.checks.store.unwrap", lambda *_: store)
    what = found(node).get("unfinished-uploads", {"what": None})["what"]
    assert what is None if words is None else words in what


@pytest.mark.usefixtures("ids")
def test_a_checkpoint_committed_just_before_a_kill_is_told(node: FlyteNode) -> None:
    before = node.latest.read_bytes()
    saved = node.save(1, 4)
    node.latest.write_bytes(before)
    finding = found(node)["fence"]
    assert "Attempt 1 has committed step 4" in finding["what"]
    assert finding["type"] == f"ckptptr use {node.url} {saved[4]}"


def test_a_save_of_the_same_attempt_that_was_never_confirmed_is_told(node: FlyteNode) -> None:
    node.save(0, 1)
    before = node.latest.read_bytes()
    node.save(0, 2)
    node.latest.write_bytes(before)
    assert "1 checkpoint is complete but not in LATEST" in found(node)["unnamed"]["what"]


def test_a_folder_of_stock_flytekit_is_told(node: FlyteNode) -> None:
    node.home(0).mkdir(parents=True)
    (node.home(0) / "model.pt").write_bytes(b"12345")
    assert found(node)["plain"]["object"] == str(node.home(0))


@pytest.mark.usefixtures("ids")
def test_an_old_checkpoint_brings_a_word_about_bucket_rules(
    node: FlyteNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = datetime.now(timezone.utc) + timedelta(days=8)
    monkeypatch.setattr(SystemClock, "now", lambda _: later)
    assert "published 8 days ago" in found(node)["expiry"]["what"]


@pytest.mark.usefixtures("ids")
def test_an_unproven_endpoint_is_not_asked(
    node: FlyteNode, monkeypatch: pytest.MonkeyPatch, faults: list[Fault]
) -> None:
    monkeypatch.setattr(FaultyStore, "guarantee", Guarantee.UNPROVEN)
    faults += [Fault(op=op, times=1000) for op in ("create", "replace", "delete", "upload", "copy")]
    assert "doctor never writes" in found(node)["guarantee"]["what"]
    monkeypatch.setenv("CKPTPTR_GUARANTEE", "last-writer-wins")
    assert "CKPTPTR_GUARANTEE says what it supports: last-writer-wins" in found(node)["guarantee"]["what"]


@pytest.mark.parametrize("op", ["read", "list"])
@pytest.mark.usefixtures("ids")
def test_a_refusal_is_a_finding_that_names_the_permission(
    node: FlyteNode, faults: list[Fault], op: Any
) -> None:
    denied = errors.AccessDeniedError("the store refused", key="s3://b/k", hint="Grant s3:Get")
    faults.append(Fault(op=op, error=denied, times=1000))
    told = run_json("doctor", node.url, exit_code=9)
    first = told["findings"][0]
    assert first["check"] == "access-denied"
    assert first["what"].endswith("cannot be checked. Grant s3:Get")
    assert sum(finding["check"] == "access-denied" for finding in told["findings"]) == 1


@pytest.mark.usefixtures("ids")
def test_what_can_be_looked_at_is_told_where_manifests_are_refused(
    node: FlyteNode, faults: list[Fault]
) -> None:
    faults.append(Fault(op="read", key="manifests", error=errors.AccessDeniedError("no"), times=1000))
    told = run_json("doctor", node.url, exit_code=9)
    checks = {finding["check"]: finding["level"] for finding in told["findings"]}
    assert checks["access-denied"] == "problem"
    assert checks["guarantee"] == "ok"
    assert told["next"] is None


@pytest.mark.usefixtures("ids")
def test_a_newer_format_is_a_finding(node: FlyteNode) -> None:
    node.latest.write_text(node.latest.read_text().replace("ckptptr/1", "ckptptr/2"))
    said = run("doctor", node.url, "--json")
    assert said.exit_code in (ExitCode.UNSUPPORTED_FORMAT, ExitCode.PROBLEMS)
    assert "Upgrade ckptptr" in said.stdout + said.stderr


@pytest.mark.usefixtures("ids")
def test_a_wrong_target_is_an_error_as_for_every_command(node: FlyteNode) -> None:
    said = run("doctor", f"{node.root}/nowhere")
    assert said.exit_code == 3
    assert said.stdout == ""


def test_without_target_only_this_machine_is_looked_at() -> None:
    told = run_json("doctor")
    assert (told["node"], told["next"]) == (None, None)
    assert {finding["check"] for finding in told["findings"]} == {"versions", "entry-point"}


@pytest.mark.parametrize(
    ("adlfs", "flytekit", "attaches", "is_problem"),
    [
        ("2026.2.0", "1.16.31", True, True),
        ("2026.10.0", "1.16.0b1", True, True),
        ("2026.1.0", "1.16.31", True, False),
        ("2025.8.0", "1.16.31", True, False),
        ("2026.2.0", "1.16.31", False, False),
        ("2026.2.0", "1.17.0", True, False),
        (None, "1.16.31", True, False),
        ("2026.2.0", None, True, False),
    ],
)
def test_the_adlfs_that_breaks_flytekit_is_found(
    monkeypatch: pytest.MonkeyPatch, adlfs: str | None, flytekit: str | None, attaches: bool, is_problem: bool
) -> None:
    monkeypatch.setattr(environment, "version_of", {"adlfs": adlfs, "flytekit": flytekit}.get)
    monkeypatch.setattr(environment, "attaches_metadata", lambda: attaches)
    told = run_json("doctor", exit_code=9 if is_problem else 0)
    problems = [finding for finding in told["findings"] if finding["level"] == "problem"]
    assert len(problems) == is_problem
    if is_problem:
        assert problems[0]["type"] == "pip install 'adlfs<2026.2'"
        assert "FLYTE_PERSISTENCE_ATTACH_EXECUTION_METADATA=false" in problems[0]["what"]


@pytest.mark.parametrize(("value", "attaches"), [(None, True), ("false", False), ("true", True)])
def test_whether_flytekit_attaches_metadata_is_its_own_answer(
    monkeypatch: pytest.MonkeyPatch, value: str | None, attaches: bool
) -> None:
    monkeypatch.delenv("FLYTE_PERSISTENCE_ATTACH_EXECUTION_METADATA", raising=False)
    if value:
        monkeypatch.setenv("FLYTE_PERSISTENCE_ATTACH_EXECUTION_METADATA", value)
    assert environment.attaches_metadata() is attaches


def test_a_flytekit_that_cannot_be_imported_is_taken_for_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flytekit.configuration", None)
    assert environment.attaches_metadata() is True


@pytest.mark.parametrize(
    ("name", "value", "level"),
    [
        ("CKPTPTR_DISABLE", "1", "note"),
        ("CKPTPTR_DISABLE", "false", None),
        ("CKPTPTR_KEEP_LAST", "three", "problem"),
        ("CKPTPTR_KEEP_LAST", "0", "problem"),
        ("CKPTPTR_KEEP_EVERY", "100", None),
        ("CKPTPTR_GUARANTEE", "maybe", "problem"),
        ("CKPTPTR_GUARANTEE", "last-writer-wins", None),
    ],
)
@pytest.mark.flytekit
def test_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, level: str | None
) -> None:
    monkeypatch.setenv(name, value)
    told = run_json("doctor", exit_code=9 if level == "problem" else 0)
    others = [finding for finding in told["findings"] if finding["level"] != "ok"]
    assert [finding["level"] for finding in others] == ([level] if level else [])
    assert all(name in finding["what"] and name in finding["type"] for finding in others)


@pytest.mark.flytekit
def test_the_plugin_that_is_not_installed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    check = environment.CHECKS[2]
    assert {finding.level for finding in check({})} == {"ok"}

    def distribution(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", distribution)
    monkeypatch.setattr(environment, "version_of", {"flytekit": "1.16.31", "flyte": "2.12.1"}.get)
    assert [(finding.level, finding.type) for finding in check({})] == [
        ("problem", "pip install 'ckptptr[flytekit]'"),
        ("problem", "pip install 'ckptptr[flyte2]'"),
    ]


@pytest.mark.usefixtures("ids")
def test_the_json_has_these_keys(node: FlyteNode) -> None:
    told = run_json("doctor", node.url)
    assert list(told) == ["command", "node", "next", "findings", "execution", "nodes"]
    assert told["next"] == run_json("show", node.url)
    assert list(told["findings"][0]) == ["level", "check", "what", "object", "type", "todo"]


def test_outside_flyte_it_works_as_well(tmp_path: Path) -> None:
    with ckptptr.open(str(tmp_path / "run")) as checkpoints:
        checkpoints.save(b"x", step=1)
    assert run_json("doctor", str(tmp_path / "run"))["next"]["checkpoint"]["step"] == 1
