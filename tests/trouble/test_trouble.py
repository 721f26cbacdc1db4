"""The judge finds what is lost, and a slice of `make trouble`: some seconds on a disk, without flytekit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

import ckptptr
from tests.results import recorded
from tests.trouble.crew import Program, Work, small_crew
from tests.trouble.judge import Findings, Named, judged, look_at
from tests.trouble.ledger import Ledger, Line, written
from tests.trouble.run import Summary, trouble
from tests.trouble.stores import STORES, Place


@pytest.mark.slow
def test_some_seconds_of_trouble_lose_nothing(tmp_path: Path) -> None:
    summary = trouble("disk", tmp_path / "run", seed=17, seconds=4, pace=0.2, hire=small_crew)
    assert summary.wrong == []
    assert summary.confirmed == summary.found > 10
    assert summary.actions.get("SIGKILL", 0) + summary.actions.get("SIGTERM", 0) > 3


def saved(step: int, attempt: int, at: float, verdict: str = "target") -> tuple[Line, Line]:
    """A save that began one second before it was confirmed."""
    age = {"step": step, "attempt": attempt, "seq": step}
    return Line("begin", at - 1, step=step), Line("saved", at, verdict=verdict, checkpoint=f"c{step}", **age)


def restored(step: int | None, attempt: int, at: float) -> Line:
    return Line("restored", at + 1, since=at, step=step, attempt=attempt, seq=step or -1)


def of(lines: Sequence[Line], *named: tuple[int, int]) -> Findings:
    """Judged, with these (step, attempt) at the end."""
    return judged("n0", lines, [Named(step, (attempt, step)) for step, attempt in named])


FOUR = [line for step in (1, 2, 3, 4) for line in saved(step, 0, 10.0 * step)]


def test_a_confirmed_save_is_named_or_has_as_many_newer_ones_as_retention_keeps() -> None:
    assert (of(FOUR, (4, 0), (3, 0), (2, 0)).found, of(FOUR, (4, 0), (3, 0), (2, 0)).wrong) == (4, [])
    assert of(FOUR, (4, 0), (3, 0)).wrong == [
        "lost: c1, step 1, confirmed at 10.000",
        "lost: c2, step 2, confirmed at 20.000",
    ]
    assert of([*FOUR, *saved(5, 0, 50.0, "held")], (4, 0), (3, 0), (2, 0)).confirmed == 4


def test_a_restore_is_never_older_than_what_was_confirmed_before_it() -> None:
    named = ((4, 0), (3, 0), (2, 0))
    assert of([*FOUR, restored(4, 0, 41.0)], *named).wrong == []
    assert of([*FOUR, restored(3, 0, 35.0)], *named).wrong == []
    assert "older than c4" in of([*FOUR, restored(3, 0, 41.0)], *named).wrong[0]
    assert "started fresh; 4 saves" in of([*FOUR, restored(None, -1, 41.0)], *named).wrong[0]
    assert "no process has saved" in of([*FOUR, restored(9, 0, 41.0)], *named).wrong[0]


def test_what_a_person_chose_may_be_older_until_the_next_save() -> None:
    moved = [*FOUR, Line("move", 42.0, since=41.0, verdict="rollback")]
    named = ((3, 0), (4, 0), (2, 0))
    assert of([*moved, restored(3, 0, 43.0)], *named).wrong == []
    later = [*moved, *saved(5, 1, 50.0), restored(3, 0, 51.0)]
    assert "older than c5" in of(later, (5, 1), (3, 0), (4, 0)).wrong[0]


def test_a_killed_command_may_still_move_latest_for_some_seconds() -> None:
    killed = [*FOUR, Line("move", 36.0, since=35.0, verdict="killed")]
    assert of([*killed, restored(3, 0, 41.0)], (4, 0), (3, 0), (2, 0)).wrong == []


@pytest.fixture
def alone(tmp_path: Path) -> Program:
    """A node whose only writer has confirmed five saves."""
    work = Work(Place(f"{tmp_path}/store", tmp_path, is_small=False), tmp_path, Random(1), lambda _: None)
    writer = Program(work, "alone")
    ledger = Ledger(tmp_path, "alone")
    with ckptptr.open(writer.url) as checkpoints:
        for _ in range(5):
            step = ledger.begin()
            done = checkpoints.save(written("alone", step, tmp_path / "work"), step=step)
            age = {"step": step, "attempt": done.attempt, "seq": done.seq}
            ledger.note("saved", verdict="target", checkpoint=done.reference, **age)
    return writer


def test_the_judge_reads_every_byte_of_what_is_named(alone: Program) -> None:
    assert (look_at(alone).found, look_at(alone).wrong) == (5, [])
    named = ckptptr.open(alone.url, read_only=True).history()[1]
    payload = Path(alone.url, f"attempts/0/data/{named.reference.rpartition('/')[2][:-5]}/step")
    payload.write_bytes(b"0" * payload.stat().st_size)
    wrong = look_at(alone).wrong
    assert any(f"LATEST names {named.reference}" in each for each in wrong)
    assert any("lost: " in each for each in wrong)


def test_a_run_takes_the_place_of_the_last_one_of_its_store() -> None:
    page = "# Results\n"
    for store, seed in (("s3", 1), ("disk", 2), ("s3", 3)):
        page = recorded(page, store, str(Summary(store, seed, 60.0)), STORES)
    assert page.count("\n## ") == 2
    assert ("seed 1:" in page, "seed 2:" in page, "seed 3:" in page) == (False, True, True)
