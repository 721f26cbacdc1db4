"""The damaged nodes of docs/recovery.md, a test each; and every command that doctor suggests, carried out.

The rows of the table "Damaged nodes" there are the names of the cases here, word for word.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.cli.checks import latest
from tests.cli.conftest import FlyteNode, run, run_json, run_line

HANDBOOK = Path(__file__).parents[2] / "docs/recovery.md"


@dataclass
class Scene:
    """A node of three attempts: 0 saved steps 1 to 3, attempt 1 steps 4 to 6."""

    node: FlyteNode
    ids: dict[int, str] = field(default_factory=dict)

    def begin(self) -> None:
        self.ids |= self.node.save(0, 1, 2, 3, retention=ckptptr.Retention(keep_last=9))
        self.ids |= self.node.save(1, 4, 5, 6, retention=ckptptr.Retention(keep_last=9))

    def payload(self, step: int) -> Path:
        return next(self.node.root.glob(f"*/*/_flytecheckpoints/data/{self.ids[step]}/*"))

    def steps_there(self) -> set[int]:
        """The steps whose manifests are there."""
        return {
            step
            for step, identifier in self.ids.items()
            if [*self.node.root.glob(f"*/*/_flytecheckpoints/manifests/{identifier}.json")]
        }


def truncated(scene: Scene) -> None:
    latest = scene.node.latest
    latest.write_bytes(latest.read_bytes()[:100])


def held_and_forgotten(scene: Scene) -> None:
    with ckptptr.open(scene.node.url, attempt=1) as checkpoints:
        run("use", scene.node.url, scene.ids[4])
        for step in (7, 8, 9):
            saved = checkpoints.save(b"x", step=step)
            scene.ids[step] = Path(saved.reference).stem


def edited_with_newer_work(scene: Scene) -> None:
    with ckptptr.open(scene.node.url, attempt=1) as checkpoints:
        scene.node.latest.write_text(scene.ids[4])
        for step in (7, 8):
            saved = checkpoints.save(b"x", step=step)
            scene.ids[step] = Path(saved.reference).stem


def held_on_what_is_gone(scene: Scene) -> None:
    run("use", scene.node.url, scene.ids[4])
    scene.node.manifest(scene.ids[4]).unlink()


def edited_with_a_typo(scene: Scene) -> None:
    scene.node.latest.write_text("step 5")


def killed_before_it_was_confirmed(scene: Scene) -> None:
    before = scene.node.latest.read_bytes()
    scene.ids |= scene.node.save(2, 7)
    scene.node.latest.write_bytes(before)


def home_deleted(scene: Scene) -> None:
    shutil.rmtree(scene.node.home(1))


def copied_without_homes(scene: Scene) -> None:
    for attempt in (0, 1):
        home_of = scene.node.home(attempt)
        shutil.rmtree(home_of)


def all_damaged(scene: Scene) -> None:
    for identifier in scene.ids.values():
        scene.node.damage(identifier)


def expired_and_torn(scene: Scene) -> None:
    scene.ids |= scene.node.save(1, 7, 8)  # retention releases the oldest
    torn = scene.node.home(1) / "data/0000000099-a0001-abcdefgh"
    torn.mkdir()
    (torn / "model.pt").write_bytes(b"x")


def never_confirmed(scene: Scene) -> None:
    before = scene.node.latest.read_bytes()
    scene.ids |= scene.node.save(1, 7, retention=ckptptr.Retention(keep_last=9))
    scene.node.latest.write_bytes(before)


@dataclass(frozen=True)
class Case:
    """What is done to a node; the step that the next attempt resumes from; doctor's check that says so."""

    damage: Callable[[Scene], Any]
    step: int | None
    check: str | None
    todo: str = "nothing"


CASES = {
    "LATEST is deleted": Case(lambda s: s.node.latest.unlink(), 6, "latest-absent"),
    "LATEST is cut short": Case(truncated, 6, "latest-damaged"),
    "LATEST is held, and a run has saved since": Case(held_and_forgotten, 4, "latest-held", "decide"),
    "LATEST is edited, and a run has saved since": Case(edited_with_newer_work, 4, "latest-held", "decide"),
    "LATEST is held on a deleted checkpoint": Case(held_on_what_is_gone, 6, "target"),
    "LATEST is edited to what is no checkpoint": Case(edited_with_a_typo, 6, "target", "decide"),
    "the manifest of the target is deleted": Case(lambda s: s.node.manifest(s.ids[6]).unlink(), 5, "target"),
    "the manifest of the target is damaged": Case(lambda s: s.node.damage(s.ids[6]), 5, "target"),
    "a file of the target is deleted": Case(lambda s: s.payload(6).unlink(), 5, "payload"),
    "a file of the target is cut short": Case(lambda s: s.payload(6).write_bytes(b"x"), 5, "payload"),
    "a save was killed before LATEST named it": Case(killed_before_it_was_confirmed, 6, "fence", "decide"),
    "the home of the last attempt is deleted": Case(home_deleted, 3, "target"),
    "the homes are deleted, or were not copied": Case(copied_without_homes, None, "homes-missing", "act"),
    "every manifest is damaged": Case(all_damaged, None, "nothing-good", "act"),
}


MORE: dict[str, Callable[[Scene], Any]] = {
    "expired checkpoints, and a save that was killed": expired_and_torn,
    "a save of the same attempt that was never confirmed": never_confirmed,
    "a hold, and nothing has saved since": lambda scene: run("use", scene.node.url, scene.ids[2]),
    "a fresh start is held": lambda scene: run("use", scene.node.url, "none", "--yes"),
    "nothing is wrong": lambda _: None,
}
"""Nodes that need no row in the handbook, for the commands that doctor suggests there."""
DAMAGES = {**{name: case.damage for name, case in CASES.items()}, **MORE}


@pytest.fixture
def scene(node: FlyteNode) -> Scene:
    scene = Scene(node)
    scene.begin()
    return scene


@pytest.mark.parametrize("name", CASES)
def test_doctor_says_what_the_next_attempt_then_does(scene: Scene, name: str) -> None:
    case = CASES[name]
    case.damage(scene)
    told = run_json("doctor", scene.node.url, exit_code=9 if _is_problem(case) else 0)
    finding = next(f for f in told["findings"] if f["check"] == case.check and f["level"] != "ok")
    assert finding["todo"] == case.todo
    said = told["next"]["checkpoint"]["step"] if told["next"]["checkpoint"] else None
    headline = run("show", scene.node.url).stdout.splitlines()[0]
    expected = f"resumes from step {case.step}." if case.step else "starts fresh."
    assert headline == f"The next attempt {expected}"
    assert (said, scene.node.restored(2)) == (case.step, case.step)


def _is_problem(case: Case) -> bool:
    return case.check not in ("latest-absent", "fence")


def suggested_by(node: FlyteNode) -> dict[str, str]:
    """Every command of ours that doctor suggests, by the check that found something."""
    told = run_json("doctor", node.url, exit_code=run("doctor", node.url).exit_code)
    found = {finding["check"]: finding["type"] or "" for finding in told["findings"]}
    return {check: command for check, command in found.items() if command.startswith("ckptptr ")}


@pytest.mark.parametrize("name", DAMAGES)
def test_every_suggested_command_works_and_costs_no_newer_work(
    scene: Scene, name: str, tmp_path: Path
) -> None:
    DAMAGES[name](scene)
    for number, command in enumerate(suggested_by(scene.node).values()):
        root = tmp_path / f"copy{number}"
        shutil.copytree(scene.node.root, root)
        copy = Scene(FlyteNode(root), dict(scene.ids))
        there = copy.steps_there()
        done = run_line(command.replace(str(scene.node.root), str(root)))
        assert done.exit_code in (0, 4), (
            f"{command}: {done.stderr}"
        )  # verify exits with 4: it finds the damage
        shown = run_json("show", copy.node.url)["checkpoint"]
        if command.split()[1] in ("use", "release"):
            assert f"The next attempt resumes from step {shown['step']}." in done.stdout
        assert copy.node.restored(2) == shown["step"]
        chosen = shown["step"]
        copy.node.save(3, 21, 22, 23)
        lost = {step for step in there if step > chosen} - copy.steps_there()
        if command.split()[1] in ("use", "release"):
            assert not lost, f"{command} cost steps {lost}"
            assert chosen == max(there)


def test_there_is_a_node_here_for_every_check_that_suggests_a_command(tmp_path: Path) -> None:
    checks = set[str]()
    for number, damage in enumerate(DAMAGES.values()):
        scene = Scene(FlyteNode(tmp_path / str(number)))
        scene.begin()
        damage(scene)
        checks |= suggested_by(scene.node).keys()
    assert checks == {*suggesting()}


def suggesting() -> Iterator[str]:
    """The checks in the sources that suggest a command of ours: `note(check, what, object, command)`."""
    for path in Path(latest.__file__).parent.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("note", "problem"):
                words = ast.unparse(call.args[3]) if len(call.args) > 3 else ""
                if "command" in words or "sweep" in words:
                    yield ast.literal_eval(call.args[0])


def test_every_row_of_the_handbook_is_a_case_here() -> None:
    text = HANDBOOK.read_text().partition("## Damaged nodes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|$", text, re.MULTILINE)
    assert [row for row in rows if row != "what happened"] == [*CASES]


def said_by_a_restore(scene: Scene, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level("INFO", "ckptptr"):
        scene.node.restored(2)
    return caplog.messages


def test_the_log_of_a_pod_names_the_payload_object_that_is_missing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    lost = scene.payload(6)
    lost.unlink()
    said = said_by_a_restore(scene, caplog)
    (line,) = [line for line in said if "resuming from step 5" in line]
    assert f"{scene.ids[6]}.json was not taken: a file of it is gone, {lost}" in line
    assert "nothing in" not in line
    assert any("which LATEST names" in line and str(lost) in line for line in said)


def test_a_damaged_latest_is_said_once_in_the_log_of_a_pod(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    truncated(scene)
    said = said_by_a_restore(scene, caplog)
    assert sum("LATEST is not a JSON object" in line for line in said) == 1
    assert sum("the bytes of the damaged LATEST are kept as" in line for line in said) == 1
