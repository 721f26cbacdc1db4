"""The life of a node: attempt after attempt until it succeeds or fails for good, as Flyte would.

    life = simulate(node, [after_save(3), before_python(), "byte 1000 of save 2"])
    assert_resumes(life, repeating_at_most=1)
    print(life.timeline())

So you test how a task resumes before you pay for machines.
"""

from __future__ import annotations

import itertools
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ckptptr.testing.deaths import Death, parse
from ckptptr.testing.literals import Scalar
from ckptptr.testing.outcome import Attempt, Ending, Save
from ckptptr.testing.simulated import Simulated

SYSTEM_RETRIES = 3
"""Flyte retries a pod without an error document this many times, even with `retries=0` (Flyte v1,
`max-node-retries-system-failures`)."""

RETRIES = 10


@dataclass(frozen=True, slots=True)
class Life:
    """All attempts of one node."""

    attempts: tuple[Attempt, ...]

    @property
    def finished(self) -> bool:
        """Whether the task ended well."""
        return self.attempts[-1].ending is Ending.FINISHED

    @property
    def outputs(self) -> dict[str, Scalar] | None:
        return self.attempts[-1].outputs if self.finished else None

    @property
    def started_over(self) -> tuple[int, ...]:
        """The attempts that saved or finished without a restore, although LATEST named a checkpoint."""
        there, found = False, []
        for attempt in self.attempts:
            resumed = attempt.restored is not None and attempt.restored.checkpoint is not None
            worked = attempt.saves or attempt.ending is Ending.FINISHED
            if there and worked and not resumed:
                found.append(attempt.number)
            there = there or any(save.checkpoint for save in attempt.saves)
        return tuple(found)

    @property
    def resumed(self) -> bool:
        """Whether an attempt restored a checkpoint, and none started over."""
        restored = any(attempt.restored and attempt.restored.checkpoint for attempt in self.attempts)
        return restored and not self.started_over

    @property
    def repeated_steps(self) -> tuple[int, ...]:
        """The steps that more than one attempt asked to save: all work up to there was done again.

        A torn save counts, since its work was done. Work after the last save does not: it is unknown.
        """
        asked = Counter(step for attempt in self.attempts for step in {save.step for save in attempt.saves})
        return tuple(sorted(step for step, times in asked.items() if times > 1))

    def timeline(self) -> str:
        """A table for people, one line for each attempt, and a sentence."""
        headings = ("attempt", "s", "death", "restored", "saved", "end")
        rows = [headings, *(_row(attempt) for attempt in self.attempts)]
        widths = [max(len(row[place]) for row in rows) for place in range(len(headings))]
        lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
        return "\n".join((*lines, self._sentence()))

    def _sentence(self) -> str:
        finished = "Finished" if self.finished else "Not finished"
        return f"{finished}; {self.how_resumed}; {_repeated(self.repeated_steps)}."

    @property
    def how_resumed(self) -> str:
        """`resumed`, or what happened instead."""
        if self.started_over:
            numbers = ", ".join(map(str, self.started_over))
            return f"attempt {numbers} started over although there was a checkpoint"
        return "resumed" if self.resumed else "nothing was resumed"


def attempts_of(
    node: Simulated,
    deaths: Iterable[Death | str | None] = (),
    *,
    retries: int = RETRIES,
    timeout: float = 120,
) -> Iterator[Attempt]:
    """Run the attempts one by one, each when the caller asks for it; see `simulate`."""
    ordered = iter([parse(death) if isinstance(death, str) else death for death in deaths])
    for number in itertools.count(node.first_attempt):
        attempt = node.run(number, next(ordered, None), timeout=timeout)
        yield attempt
        if not _is_retried(attempt, number - node.first_attempt, retries):
            return


def simulate(
    node: Simulated,
    deaths: Sequence[Death | str | None] = (),
    *,
    retries: int = RETRIES,
    timeout: float = 120,
) -> Life:
    """Run the attempts of a node, 0, 1, 2, ... (Flyte 2: from 1), until one succeeds or fails for good.

    Args:
        deaths: how the first attempt, the second, ... dies; values of `ckptptr.testing.deaths`, or words as
            in `deaths.FORMS`. None: the attempt is not killed; nor are those after the last one.
        retries: as in `@task(retries=...)`. Another attempt follows a recoverable error or a death, and
            no other error.
        timeout: of one attempt, in seconds. One that needs longer is killed, and no other follows.

    Raises:
        InvalidArgumentError: words that name no death.
    """
    return Life(tuple(attempts_of(node, deaths, retries=retries, timeout=timeout)))


def assert_resumes(life: Life, *, repeating_at_most: int = 0) -> None:
    """The task finished, an attempt resumed, none started over, each death happened, few steps were repeated.

    Raises:
        AssertionError: with the timeline.
    """
    missed = [attempt for attempt in life.attempts if attempt.death and not attempt.struck]
    problems = [
        *(f"attempt {attempt.number}: '{attempt.death}' never came" for attempt in missed),
        *([] if life.finished else [f"the task did not finish: {ended_in_words(life.attempts[-1])}"]),
        *([] if life.resumed else [life.how_resumed]),
    ]
    if len(life.repeated_steps) > repeating_at_most:
        problems.append(f"{_repeated(life.repeated_steps)}, not at most {repeating_at_most}")
    if problems:
        raise AssertionError("\n".join((*problems, "", life.timeline(), "", *_last_words(life))))


def _is_retried(attempt: Attempt, before: int, retries: int) -> bool:
    """Flyte v1 has one counter for both kinds of failure. Flyte 2 is taken to count alike.

    Args:
        before: how many attempts came before.
    """
    match attempt.ending:
        case Ending.RECOVERABLE:
            return before < retries
        case Ending.DIED:
            return before < max(retries, SYSTEM_RETRIES)
        case _:
            return False


_VERDICTS = {
    "pointer": "LATEST",
    "history": "the history",
    "walkback": "the walk-back",
    "plain": "a plain folder",
    "origin": "an origin",
}


def _row(attempt: Attempt) -> tuple[str, ...]:
    return (
        str(attempt.number),
        f"{attempt.seconds:.1f}",
        "-" if attempt.death is None else str(attempt.death),
        restored_in_words(attempt),
        saved_in_words(attempt.saves),
        ended_in_words(attempt),
    )


def restored_in_words(attempt: Attempt) -> str:
    """`3 of attempt 0, by LATEST`."""
    restored = attempt.restored
    if restored is None:
        return "-"
    if restored.checkpoint is None:
        return "a fresh start"
    step = restored.seq if restored.step is None else restored.step
    what = "files" if step is None else f"{step} of attempt {restored.attempt}"
    return f"{what}, by {_VERDICTS[restored.verdict]}"


def saved_in_words(saves: Sequence[Save]) -> str:
    """`1-3, not 4`."""
    confirmed = _ranges([save.step for save in saves if save.checkpoint])
    torn = _ranges([save.step for save in saves if not save.checkpoint])
    return ", ".join(filter(None, (confirmed, torn and f"not {torn}"))) or "-"


def ended_in_words(attempt: Attempt) -> str:
    how = attempt.ending.value
    if attempt.ending is Ending.DIED:
        how = f"exit code {attempt.exit_code}" if attempt.exit_code else "neither outputs nor an error"
        how = f"killed by {signal.Signals(attempt.signal).name}" if attempt.signal else how
    missed = " (its death never came)" if attempt.death and not attempt.struck else ""
    return f"{how}{missed}" + (f": {attempt.reason}" if attempt.reason else "")


def _last_words(life: Life) -> list[str]:
    log = life.attempts[-1].log.strip().splitlines()[-20:]
    return [f"The end of the log of attempt {life.attempts[-1].number}:", *log] if log else []


def _repeated(steps: Sequence[int]) -> str:
    noun = "step" if len(steps) == 1 else "steps"
    return f"{len(steps)} {noun} repeated ({_ranges(steps)})" if steps else "no step repeated"


def _ranges(steps: Sequence[int]) -> str:
    """`1-3, 7`: consecutive numbers become a range; the order stays."""
    ranges: list[list[int]] = []
    for step in steps:
        if ranges and step == ranges[-1][1] + 1:
            ranges[-1][1] = step
        else:
            ranges.append([step, step])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)
