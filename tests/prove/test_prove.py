"""The explorer itself, a slice of what it explores, and the list of mutants."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.prove.explore import Explorer, _Step
from tests.prove.kill import PACKAGE, applied, fate
from tests.prove.mutants import MUTANTS, Mutant
from tests.prove.report import BY_NAME, prove, replayed
from tests.prove.scheduler import Fault, Scheduler, Task
from tests.prove.setting import Play, one_thread

TOP = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


class Outcomes:
    """A world that is never wrong, and keeps how its schedules ended."""

    def __init__(self, world: str) -> None:
        self.ends: set[int] = set()
        self._setting = BY_NAME[world]

    def begin(self) -> Outcomes.Noted:
        return Outcomes.Noted(self)

    class Noted:
        wrong = ""

        def __init__(self, outcomes: Outcomes) -> None:
            self._outcomes = outcomes
            self._play = Play(outcomes._setting, ())
            self.scheduler: Scheduler = self._play.scheduler

        def finish(self) -> str:
            self._outcomes.ends.add(self.scheduler.snapshot())
            return ""


class OneByOne(Explorer):
    """Every order of all requests, without any reduction."""

    def _next_step(self, tasks: Sequence[Task]) -> _Step:
        ready = {task.name: (task.process.name, 0) for task in tasks}
        return _Step(ready, set(), {task.process.name for task in tasks}, tasks[0].name)

    def _find_races(self, last: int) -> None:
        pass


@pytest.mark.parametrize("world", ["a drop and a choice", "two ranks restore"])
def test_no_end_is_missed_that_some_order_of_all_requests_has(world: str) -> None:
    every, explored = Outcomes(world), Outcomes(world)
    count = OneByOne(every.begin).run().schedules
    seen = Explorer(explored.begin).run()

    assert explored.ends == every.ends
    assert seen.schedules < count / 10


def test_a_schedule_is_shown_again_by_its_number() -> None:
    world = BY_NAME["a drop and a choice"]
    shown = {replayed(world, (), number) for number in range(1, prove(world, faults=False).schedules + 1)}

    assert len(shown) > 3
    assert replayed(world, (Fault("P", "crash", 1),), 2) not in shown
    assert replayed(world, (), 10**6).startswith("there are only")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_slice_of_every_schedule_breaks_no_rule() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.prove", "--slice", "--workers", "1"],
        cwd=TOP,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) fault plans +(\d+) schedules", done.stdout.splitlines()[-1])
    assert found
    assert int(found[2]) > int(found[1]) > 100


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.rule)
def test_each_mutant_changes_one_place_of_the_code(mutant: Mutant, tmp_path: Path) -> None:
    copy = tmp_path / mutant.file
    copy.parent.mkdir(parents=True)
    copy.write_bytes((PACKAGE / mutant.file).read_bytes())
    applied(mutant, tmp_path)

    ast.parse(copy.read_text())
    assert {*mutant.worlds} <= BY_NAME.keys()


def test_the_mutants_are_many_and_each_breaks_something_else() -> None:
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS) >= 25


def test_a_mutant_is_killed_and_the_schedule_is_told() -> None:
    """One of them; `make mutants` shows it of all."""
    assert fate(MUTANTS[0]).startswith("killed by a zombie saves: goal 1: ")
