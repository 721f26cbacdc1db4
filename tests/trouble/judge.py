"""Whether each confirmed save is found, and each restore returned what it had to.

- Each restore returns bytes that were saved, and nothing older than what was confirmed before it began: by
  (attempt, seq), and since a person last moved LATEST.
- At the end each confirmed save is named by LATEST, and every byte of it is there; or as many newer ones are
  named as retention keeps. Where a person moved LATEST after it, those count whatever their age.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ckptptr
from ckptptr.checkpoints import Checkpoint
from tests.trouble.crew import Writer
from tests.trouble.ledger import Ledger, Line, differences, step_of

KEPT = 3
"""What retention keeps, as it is by default."""
CONFIRMED = ("target", "history", "passed")
LATE = 10.0
"""Seconds in which a request of a killed process may still arrive."""


@dataclass(frozen=True)
class Named:
    """A checkpoint that LATEST names at the end, and whose bytes are all there."""

    step: int
    age: tuple[int, int]


@dataclass
class Findings:
    """Of one node: how many saves began, were confirmed, are named at the end, or were replaced."""

    node: str
    begun: int = 0
    confirmed: int = 0
    named: int = 0
    replaced: int = 0
    restores: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def found(self) -> int:
        return self.named + self.replaced


def judged(node: str, lines: Sequence[Line], named: Sequence[Named]) -> Findings:
    """What the ledger of a node and the end of its store say together."""
    began = {line.step: line.at for line in reversed(lines) if line.what == "begin"}
    confirmed = {line.step: line for line in lines if line.what == "saved" and line.verdict in CONFIRMED}
    moves = [line for line in lines if line.what == "move"]
    restored = [line for line in lines if line.what == "restored"]
    found = Findings(node, len(began), len(confirmed), restores=len(restored))
    found.wrong += [f"{line.said} (process {line.pid})" for line in lines if line.what == "wrong"]
    found.wrong += [f"step {step} was confirmed and never begun" for step in confirmed.keys() - began.keys()]
    for line in restored:
        before = [save for save in confirmed.values() if save.at <= line.since]
        if line.step is None:
            if before:
                found.wrong.append(f"process {line.pid} started fresh; {len(before)} saves were confirmed")
            continue
        if line.step not in began:
            found.wrong.append(f"process {line.pid} restored step {line.step}, which no process has saved")
        moved = max((_until(move) for move in moves if move.since <= line.at), default=0.0)
        counted = [save for save in before if began.get(save.step, 0.0) > moved]
        newest = max(counted, key=lambda save: save.age, default=None)
        if newest and line.age < newest.age:
            found.wrong.append(
                f"process {line.pid} restored {line.checkpoint} at {line.at:.3f}, older than "
                f"{newest.checkpoint}, confirmed at {newest.at:.3f}"
            )
    steps = {each.step for each in named}
    for save in confirmed.values():
        if save.step in steps:
            found.named += 1
            continue
        was_moved = any(_until(move) > began.get(save.step, 0.0) for move in moves)
        newer = [each for each in named if was_moved or each.age > save.age]
        if len(newer) >= KEPT:
            found.replaced += 1
        else:
            found.wrong.append(f"lost: {save.checkpoint}, step {save.step}, confirmed at {save.at:.3f}")
    return found


def _until(move: Line) -> float:
    return move.at + (LATE if move.verdict == "killed" else 0.0)


def look_at(writer: Writer) -> Findings:
    """Read LATEST, restore all that it names, restore as a next attempt would, and judge."""
    options = dict(writer.work.place.direct)
    ledger, found_wrong = writer.ledger, []
    named: list[Named] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ckptptr.open(writer.url, read_only=True, storage_options=options) as reader:
            for number, checkpoint in enumerate(reader.history()):
                try:
                    named.append(_whole(reader, ledger, checkpoint, folder / str(number)))
                except (ckptptr.CkptptrError, AssertionError) as error:
                    found_wrong.append(f"LATEST names {checkpoint.reference}, and {error}")
            attempt = reader.attempt
        with ckptptr.open(writer.url, attempt=attempt, round="the-judge", storage_options=options) as last:
            ledger.restore(last, folder / "last")
    findings = judged(writer.name, ledger.lines(), named)
    findings.wrong += found_wrong
    return findings


def _whole(reader: ckptptr.Checkpoints, ledger: Ledger, checkpoint: Checkpoint, folder: Path) -> Named:
    reader.restore(folder, checkpoint=checkpoint.reference)
    step = step_of(ledger.node, folder)
    broken = differences(ledger.node, step, folder)
    assert not broken, f"it has other bytes in {broken}"
    return Named(step, (checkpoint.attempt, checkpoint.seq))
