"""What a life says of itself, from attempts made by hand."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace

import pytest

from ckptptr.errors import InvalidArgumentError
from ckptptr.testing import Attempt, Life, SimulatedNode, assert_resumes, simulate
from ckptptr.testing.deaths import Death, after_save, before_python, in_save
from ckptptr.testing.events import Asked, Began, Event, Restored, Saved, Struck
from ckptptr.testing.outcome import Ending, Save

DEAD = Attempt(0, signal.SIGKILL, 0, None, "", "", "", (), 1.0)
FINISHED = replace(DEAD, signal=0, outputs={"o0": "done"})
ERROR = "Trace:\n\n  ...\nMessage:\n\n    ValueError: no such layer\n    and more"
FAILED = replace(DEAD, signal=0, error=ERROR, kind="NON_RECOVERABLE")
RECOVERABLE = replace(FAILED, kind="RECOVERABLE")

FRESH = Restored("fresh")


def restored(seq: int, step: int | None = None, attempt: int = 0) -> Restored:
    return Restored("pointer", f"h/manifests/{seq}.json", step, attempt, seq)


def saves(*steps: int | None, torn: int | None = -1) -> list[Event]:
    events: list[Event] = []
    for step in steps:
        events += [Began(step), Asked("upload", "x"), Saved(f"c{step}", step, 1, 10)]
    return [*events, *([] if torn == -1 else [Began(torn)])]


def life(*attempts: Attempt) -> Life:
    return Life(tuple(replace(attempt, number=number) for number, attempt in enumerate(attempts)))


def lived(attempt: Attempt, *events: Event, death: Death | None = None) -> Attempt:
    return replace(attempt, events=events, death=death)


GOOD = life(
    lived(DEAD, FRESH, *saves(10, 20, torn=30), Struck("kill"), death=in_save(3)),
    lived(DEAD, Struck("kill"), death=before_python()),
    lived(FINISHED, restored(2, 20), *saves(30, 40)),
)


@pytest.mark.parametrize(
    ("attempt", "ending"),
    [
        (DEAD, Ending.DIED),
        (FINISHED, Ending.FINISHED),
        (FAILED, Ending.FAILED),
        (RECOVERABLE, Ending.RECOVERABLE),
        (replace(DEAD, signal=0), Ending.DIED),
        (replace(DEAD, signal=0, exit_code=241), Ending.DIED),
        (replace(FINISHED, signal=signal.SIGKILL), Ending.DIED),
        (replace(RECOVERABLE, exit_code=1), Ending.RECOVERABLE),
        (replace(DEAD, timed_out=True), Ending.TIMED_OUT),
    ],
)
def test_what_flyte_makes_of_an_end(attempt: Attempt, ending: Ending) -> None:
    assert attempt.ending is ending


def test_the_reason_is_the_first_line_of_the_message() -> None:
    assert FAILED.reason == "ValueError: no such layer"
    assert replace(FAILED, error="plain words").reason == "plain words"
    assert DEAD.reason == ""


def test_a_torn_save_is_asked_for_and_not_confirmed() -> None:
    assert GOOD.attempts[0].saves == [Save(10, "c10"), Save(20, "c20"), Save(30, "")]


def test_a_save_that_failed_in_the_middle_of_others_is_told_apart() -> None:
    attempt = lived(DEAD, *saves(1), Began(2), *saves(3))
    assert [save.checkpoint for save in attempt.saves] == ["c1", "", "c3"]


def test_saves_without_a_step_are_counted_on_from_what_was_restored() -> None:
    attempt = lived(DEAD, restored(7), *saves(None, None, torn=None))
    assert [save.step for save in attempt.saves] == [8, 9, 10]


@pytest.mark.parametrize("first", [(), (FRESH,), (Restored("plain", "home"),)])
def test_saves_without_a_step_count_from_1_where_nothing_was_restored(first: tuple[Event, ...]) -> None:
    assert [save.step for save in lived(DEAD, *first, *saves(None, None)).saves] == [1, 2]


def test_a_good_life_resumed_and_repeated_the_step_of_the_torn_save() -> None:
    assert (GOOD.finished, GOOD.resumed, GOOD.started_over) == (True, True, ())
    assert GOOD.repeated_steps == (30,)
    assert GOOD.outputs == {"o0": "done"}


def test_saving_a_step_twice_in_one_attempt_repeats_nothing() -> None:
    assert life(lived(FINISHED, *saves(1, 1))).repeated_steps == ()


def test_whoever_does_not_restore_starts_over() -> None:
    forgetful = life(lived(DEAD, *saves(None, None)), lived(DEAD), lived(FINISHED, *saves(None, None, None)))
    assert forgetful.started_over == (2,)
    assert not forgetful.resumed
    assert forgetful.repeated_steps == (1, 2)


def test_a_fresh_start_after_a_confirmed_save_is_a_start_over() -> None:
    assert life(lived(DEAD, *saves(1)), lived(FINISHED, FRESH)).started_over == (1,)


def test_a_fresh_start_where_nothing_was_confirmed_is_none_and_nothing_was_resumed() -> None:
    nothing = life(lived(DEAD, FRESH, *saves(torn=1)), lived(FINISHED, FRESH, *saves(1)))
    assert nothing.started_over == ()
    assert not nothing.resumed


def test_the_timeline_has_a_line_for_each_attempt_and_a_sentence() -> None:
    assert GOOD.timeline().splitlines() == [
        "attempt  s    death          restored                    saved           end",
        "0        1.0  in save 3      a fresh start               10, 20, not 30  killed by SIGKILL",
        "1        1.0  before python  -                           -               killed by SIGKILL",
        "2        1.0  -              20 of attempt 0, by LATEST  30, 40          finished",
        "Finished; resumed; 1 step repeated (30).",
    ]


def test_the_timeline_says_why_it_ended() -> None:
    ended = life(lived(RECOVERABLE), lived(replace(DEAD, signal=0, exit_code=241)), lived(FAILED)).timeline()
    assert "asked for a retry: ValueError: no such layer\n" in ended
    assert "exit code 241\n" in ended
    assert "failed for good: ValueError: no such layer\n" in ended
    assert ended.endswith("Not finished; nothing was resumed; no step repeated.")


def test_steps_that_follow_each_other_are_drawn_together() -> None:
    timeline = life(lived(FINISHED, *saves(1, 2, 3, 7, 9, 10))).timeline()
    assert "  1-3, 7, 9-10  " in timeline


def test_a_good_life_passes_with_as_many_repeated_steps_as_are_allowed() -> None:
    assert_resumes(GOOD, repeating_at_most=1)
    with pytest.raises(AssertionError, match=r"^1 step repeated \(30\), not at most 0\n"):
        assert_resumes(GOOD)


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (
            life(*GOOD.attempts[:2], FAILED),
            "the task did not finish: failed for good: ValueError",
        ),
        (life(*GOOD.attempts[:2], replace(DEAD, timed_out=True)), "the task did not finish: timed out"),
        (
            life(lived(DEAD, *saves(1)), lived(FINISHED, *saves(2))),
            "attempt 1 started over although",
        ),
        (life(FINISHED), "nothing was resumed"),
        (
            life(*GOOD.attempts[:2], lived(FINISHED, restored(2), *saves(30), death=after_save(9))),
            "attempt 2: 'after save 9' never came",
        ),
    ],
)
def test_a_bad_life_fails_with_its_timeline_and_the_end_of_the_log(bad: Life, complaint: str) -> None:
    *others, last = bad.attempts
    bad = life(*others, replace(last, log="first\nlast words\n"))
    with pytest.raises(AssertionError) as failed:
        assert_resumes(bad, repeating_at_most=9)
    said = str(failed.value)
    assert said.startswith(complaint)
    assert bad.timeline() in said
    assert said.endswith("first\nlast words")


NODE = SimulatedNode("module", "task", root="/nowhere", folder="/nowhere")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Death | None]]:
    """Makes all attempts end in a given way, the last given for ever; the deaths that were ordered."""

    def ending(*attempts: Attempt) -> list[Death | None]:
        ordered: list[Death | None] = []

        def stand_in(_: object, number: int, death: Death | None, **__: object) -> Attempt:
            ordered.append(death)
            return replace(attempts[min(number, len(attempts) - 1)], number=number)

        monkeypatch.setattr(SimulatedNode, "run", stand_in)
        return ordered

    return ending


@pytest.mark.parametrize(
    ("retries", "attempt", "expected"),
    [
        (5, DEAD, 6),
        (0, DEAD, 4),  # system failures
        (0, RECOVERABLE, 1),
        (2, RECOVERABLE, 3),
        (9, FAILED, 1),
        (9, FINISHED, 1),
        (9, replace(DEAD, timed_out=True), 1),
    ],
)
def test_there_are_as_many_attempts_as_flyte_would_make(
    run: Callable[..., object], retries: int, attempt: Attempt, expected: int
) -> None:
    run(attempt)
    assert len(simulate(NODE, retries=retries).attempts) == expected


def test_each_attempt_gets_its_death_and_those_after_live(run: Callable[..., list[Death | None]]) -> None:
    ordered = run(DEAD, DEAD, DEAD, FINISHED)
    simulate(NODE, ["after save 3", None, before_python()])
    assert ordered == [after_save(3), None, before_python(), None]


def test_words_that_are_no_death_are_refused_before_anything_runs(
    run: Callable[..., list[Death | None]],
) -> None:
    ordered = run(FINISHED)
    with pytest.raises(InvalidArgumentError):
        simulate(NODE, ["after save 3", "boom"])
    assert ordered == []
