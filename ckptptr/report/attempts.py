"""The attempts of a node, what each resumed from and why.

The parent in a manifest is the checkpoint that its run had resumed from. Reasons are not recorded: they
are concluded from the other checkpoints, and worded no more certainly than that. An attempt that looks
at itself knows the reasons from its own restore.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Literal

import msgspec

from ckptptr.inspect import shapes
from ckptptr.inspect.sentences import in_words, short_reference
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.names import CheckpointId
from ckptptr.protocol.resolve import Rejected, Resolution
from ckptptr.wording import moment, span

_MANY = 3
_ELSEWHERE = "another execution or node"


@dataclass(frozen=True, slots=True)
class View:
    """How much of a node is shown: everything, or only the newest checkpoints.

    `owns`: whether a reference is one of this node.
    """

    is_whole: bool
    owns: Callable[[str], bool] = lambda _: True

    @property
    def there(self) -> str:
        return "there" if self.is_whole else "shown"

    @property
    def missing(self) -> str:
        return "deleted" if self.is_whole else "not shown"


class Shown(shapes.Entry, frozen=True, kw_only=True):
    """A line of `ckptptr log`, and more.

    `created_at`: when its manifest was written. `copied_from`: the source of a forward copy, else null.
    `saved_in`: in seconds, null if not known. `is_elsewhere`: in no home of this node.
    """

    created_at: str | None = None
    copied_from: str | None = None
    task: str = ""
    saved_in: float | None = None
    is_elsewhere: bool = False

    @property
    def age(self) -> tuple[int, int]:
        """The order of age within a node, without any clock."""
        return (-1 if self.is_elsewhere or self.attempt is None else self.attempt, self.seq or -1)


class ResumedFrom(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoint that an attempt resumed from.

    `by`: the first checkpoint whose manifest says so, null for the next attempt. `words`: for people,
    `step 3 of attempt 0`. `is_there`: it is among the checkpoints of this report. `is_elsewhere`: it
    belongs to another execution or node.
    """

    reference: str
    by: str | None
    words: str
    is_there: bool
    is_elsewhere: bool = False


class AttemptSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt.

    `role`: `this` is the attempt that draws the report, `next` the one after the last. `origins`: what it
    resumed from; several if its container restarted in place. `words`: the same for people, and `reasons`
    why. `every`: the median seconds between two saves.
    """

    number: int
    role: Literal["past", "this", "next"]
    checkpoints: int
    bytes: int
    first: str | None
    last: str | None
    every: float | None
    origins: list[ResumedFrom]
    words: str
    reasons: list[str]


def named(numbers: Sequence[int]) -> str:
    """`Attempt 1`, `Attempts 1 and 2`, `Attempts 1 to 3`, `Attempts 1, 2, 5`."""
    first, last = numbers[0], numbers[-1]
    if len(numbers) == 1:
        return f"Attempt {first}"
    if len(numbers) == 2:
        return f"Attempts {first} and {last}"
    is_row = last - first == len(numbers) - 1
    return f"Attempts {first} to {last}" if is_row else f"Attempts {', '.join(map(str, numbers))}"


def past_attempts(shown: Sequence[Shown], before: int, view: View) -> list[AttemptSummary]:
    """The attempts below `before`."""
    return [_past(shown, number, view) for number in range(before)]


def this_attempt(
    shown: Sequence[Shown],
    number: int,
    resolution: Resolution | None,
    restored_in: float | None,
    view: View,
) -> AttemptSummary:
    """The attempt that draws the report; its reasons are those of its own restore.

    If this process did not restore (its workers may have), it is described like any other attempt.
    """
    attempt = _past(shown, number, view)
    found = resolution.found if resolution else None
    if resolution is None:
        words = attempt.words if attempt.checkpoints else "did not restore"
        reasons = attempt.reasons
    elif found is None:
        words, reasons = "started fresh", [*map(_rejection, resolution.rejected)]
    else:
        took = f" in {span(restored_in)}" if restored_in is not None else ""
        words = f"resumed from {_found(found, shown, view)}{took}"
        reasons = [f"found in {resolution.verdict.value}", *map(_rejection, resolution.rejected)]
    origins = attempt.origins
    if found and not origins:
        origins = [_origin(found.reference, None, shown, view)]
    return msgspec.structs.replace(attempt, role="this", words=words, reasons=reasons, origins=origins)


def next_attempt(show: shapes.Show, number: int) -> AttemptSummary:
    """The next attempt."""
    taken = show.checkpoint
    origin = taken and ResumedFrom(reference=taken.checkpoint, by=None, words=in_words(taken), is_there=True)
    return AttemptSummary(
        number=number,
        role="next",
        checkpoints=0,
        bytes=0,
        first=None,
        last=None,
        every=None,
        origins=[origin] if origin else [],
        words=f"would resume from {in_words(taken)}" if taken else "would start fresh",
        reasons=[show.why],
    )


def _past(shown: Sequence[Shown], number: int, view: View) -> AttemptSummary:
    own = sorted((item for item in shown if item.attempt == number and not item.is_elsewhere), key=_age)
    saves = [item for item in own if item.copied_from is None]
    times = [when.timestamp() for when in (moment(item.created_at) for item in saves) if when]
    told = [item.created_at for item in own if item.created_at]
    gaps = [max(0.0, later - earlier) for earlier, later in pairwise(times)]
    origins = _origins(own, shown, view)
    return AttemptSummary(
        number=number,
        role="past",
        checkpoints=len(own),
        bytes=sum(item.bytes or 0 for item in own),
        first=told[0] if told else None,
        last=told[-1] if told else None,
        every=median(gaps) if gaps else None,
        origins=origins,
        words=_words(own, origins, view),
        reasons=_reasons(number, origins, shown, view) if own else [],
    )


def _age(item: Shown) -> tuple[int, int]:
    return item.age


def _words(own: Sequence[Shown], origins: Sequence[ResumedFrom], view: View) -> str:
    if not own:
        return f"left nothing that is {view.there}"
    resumed = " and then from ".join(origin.words for origin in origins)
    if all(item.id is None for item in own):
        return "left plain files, without ckptptr"
    if all(item.problem for item in own):
        return "left only damaged manifests"
    return f"resumed from {resumed}" if resumed else "started fresh"


def _origins(own: Sequence[Shown], shown: Sequence[Shown], view: View) -> list[ResumedFrom]:
    origins: list[ResumedFrom] = []
    for item in own:
        if item.parent and not any(origin.reference == item.parent for origin in origins):
            origins.append(_origin(item.parent, item.checkpoint, shown, view))
    return origins


def _origin(reference: str, by: str | None, shown: Sequence[Shown], view: View) -> ResumedFrom:
    return ResumedFrom(
        reference=reference,
        by=by,
        words=_name(reference, shown, view),
        is_there=any(item.checkpoint == reference for item in shown),
        is_elsewhere=not view.owns(reference),
    )


def _name(reference: str, shown: Sequence[Shown], view: View) -> str:
    """`step 3 of attempt 0`; for a deleted checkpoint `save 4 of attempt 0`, from its id."""
    for item in shown:
        if item.checkpoint == reference:
            where = _ELSEWHERE if item.is_elsewhere else f"attempt {item.attempt}"
            return f"{in_words(item)} of {where}"
    name = short_reference(reference)
    checkpoint = CheckpointId.match(name)
    if checkpoint is None or not view.owns(reference):
        return f"{name} of {_ELSEWHERE}"
    return f"save {checkpoint.seq} of attempt {checkpoint.attempt} ({view.missing})"


def _found(found: Found, shown: Sequence[Shown], view: View) -> str:
    """What this process restored; it knows its step even if retention has deleted it since."""
    manifest = found.manifest
    if manifest is None or any(item.checkpoint == found.reference for item in shown):
        return _name(found.reference, shown, view)
    what = f"save {manifest.seq}" if manifest.step is None else f"step {manifest.step}"
    return f"{what} of {f'attempt {manifest.attempt}' if view.owns(found.reference) else _ELSEWHERE}"


def _reasons(number: int, origins: Sequence[ResumedFrom], shown: Sequence[Shown], view: View) -> list[str]:
    """What the attempts between it and its origin left, as far as it still exists."""
    if not origins:
        return []
    first = next((item for item in shown if item.checkpoint == origins[0].reference), None)
    checkpoint = CheckpointId.match(short_reference(origins[0].reference))
    if first is not None:
        age = first.age
    elif checkpoint is not None and not origins[0].is_elsewhere:
        age = (checkpoint.attempt, checkpoint.seq)
    else:
        return []
    newer = [item for item in shown if not item.is_elsewhere and age < item.age < (number, -1)]
    skipped = [n for n in range(age[0] + 1, number) if not any(item.attempt == n for item in newer)]
    reasons = [f"nothing of {named(skipped).lower()} is {view.there}"] if skipped and age[0] >= 0 else []
    if newer:
        names = [f"{in_words(i)} of attempt {i.attempt}" + (" (damaged)" if i.problem else "") for i in newer]
        more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
        reasons.append(f"newer, and not used: {', '.join(names[:_MANY])}{more}")
    return reasons


def _rejection(rejected: Rejected) -> str:
    name = short_reference(rejected.reference)
    return f"nothing in {name}" if rejected.is_absent else f"{name} was not used: {rejected.reason}"
