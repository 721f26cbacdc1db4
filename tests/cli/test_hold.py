"""A hold that was forgotten costs no work: it is said, and no command leaves newer work without a word."""

from __future__ import annotations

import json

import pytest

import ckptptr
from tests.cli.conftest import FlyteNode, run, run_json, run_line


@pytest.fixture
def forgotten(node: FlyteNode, ids: dict[int, str]) -> dict[int, str]:
    """A person held step 1, and the run saved steps 4 to 11 beside it; the ids that are still there."""
    with ckptptr.open(node.url, attempt=0) as checkpoints:
        checkpoints.restore()
        run("use", node.url, ids[1], "--note", "why?")
        saved = {step: checkpoints.save(b"x", step=step) for step in range(4, 12)}
    return {step: saved[step].reference.rpartition("/")[2].removesuffix(".json") for step in (9, 10, 11)}


def held(node: FlyteNode) -> dict[str, object]:
    told = run_json("doctor", node.url, exit_code=9)
    return next(finding for finding in told["findings"] if finding["check"] == "latest-held")


@pytest.mark.usefixtures("forgotten")
def test_newer_work_beside_a_hold_is_a_problem_that_says_how_much_and_since_when(node: FlyteNode) -> None:
    finding = held(node)
    written = json.loads(node.latest.read_text())
    assert (finding["level"], finding["todo"]) == ("problem", "decide")
    what = str(finding["what"])
    assert what.startswith(f'{written["moved_by"]} holds LATEST, with the note "why?", with `ckptptr use` (')
    assert "Meanwhile 3 newer checkpoints were committed beside it (steps 9 to 11)." in what
    assert "The next attempt resumes from step 1. Soon after that the newer ones are deleted." in what
    said = run("doctor", node.url).stdout
    assert "problem   Decide. " in said
    assert written["moved_with"] == "use"


def test_the_command_that_is_suggested_keeps_the_newest(node: FlyteNode, forgotten: dict[int, str]) -> None:
    command = str(held(node)["type"])
    assert command == f"ckptptr release {node.url} {forgotten[11]}"
    assert run_line(command).exit_code == 0
    node.save(1, 12, 13)
    assert node.restored(2) == 13
    assert node.manifest(forgotten[11]).exists()


@pytest.mark.parametrize("answer", ["n\n", "", None])
def test_a_bare_release_with_newer_work_beside_it_is_refused_unless_a_person_agrees(
    node: FlyteNode, forgotten: dict[int, str], answer: str | None
) -> None:
    before = node.latest.read_bytes()
    said = run("release", node.url, stdin=answer)
    assert said.exit_code == 2
    assert "not 3 newer checkpoints that a run has committed (steps 9 to 11)" in said.stderr
    assert f"Keep the newest: ckptptr release {node.url} {forgotten[11]}." in said.stderr
    assert node.latest.read_bytes() == before
    assert run("release", node.url, "--yes").exit_code == 2  # it must be said which is meant
    assert run("release", node.url, stdin="y\n").exit_code == 0
    assert node.restored(1) == 1


@pytest.mark.usefixtures("forgotten")
def test_what_is_held_may_be_said_to_be_meant(node: FlyteNode, ids: dict[int, str]) -> None:
    assert run("release", node.url, ids[1]).exit_code == 0
    assert node.restored(1) == 1


@pytest.mark.usefixtures("ids")
def test_to_stay_with_a_fresh_start_the_suggested_release_needs_no_answer(node: FlyteNode) -> None:
    with ckptptr.open(node.url, attempt=0) as checkpoints:
        checkpoints.restore()
        run("use", node.url, "none", "--yes")
        checkpoints.save(b"x", step=4)
    stay = run("release", node.url).stderr.rstrip().rpartition("Or stay with what is held: ")[2]
    assert run_line(stay).exit_code == 0
    assert node.restored(1) is None


def test_nothing_but_its_own_run_deletes_what_is_beside_a_hold(
    node: FlyteNode, forgotten: dict[int, str]
) -> None:
    assert run("sweep", node.url, "--yes").exit_code == 2
    with ckptptr.open(node.url, attempt=0) as other:  # a run that has begun anew, and has not restored
        for step in range(20, 30):
            other.save(b"y", step=step)
    assert all(node.manifest(identifier).exists() for identifier in forgotten.values())


def test_where_the_held_one_is_gone_the_suggested_release_works(
    node: FlyteNode, ids: dict[int, str], forgotten: dict[int, str]
) -> None:
    node.manifest(ids[1]).unlink()
    command = str(held(node)["type"])
    assert command.endswith(forgotten[11])
    assert run_line(command).exit_code == 0


@pytest.mark.usefixtures("ids")
def test_what_moved_latest_last_is_recorded_and_a_pin_does_not_count(node: FlyteNode) -> None:
    def moved_with() -> str:
        return str(json.loads(node.latest.read_text())["moved_with"])

    assert moved_with() == "save"
    run("rollback", node.url)
    assert moved_with() == "rollback"
    assert "with `ckptptr rollback`" in run("show", node.url).stdout
    run("pin", node.url, "--step", "1")
    assert moved_with() == "rollback"
    node.restored(1)
    assert moved_with() in ("restore", "forward copy")
    run("release", node.url, "--step", "3")
    assert moved_with() == "release"
