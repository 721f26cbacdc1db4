"""Which checkpoints stay, beside those that a person pinned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ckptptr.errors import InvalidArgumentError
from ckptptr.protocol.pointer import Target
from ckptptr.settings import KEEP_BEST, KEEP_EVERY, KEEP_LAST

HISTORY_LIMIT = 500
"""LATEST is read whole by every restore, so that it cannot grow for ever: beyond this many entries
the oldest that are not pinned go, whatever the policy says."""


@dataclass(frozen=True, slots=True)
class Retention:
    """A retention policy.

    Args:
        keep_last: how many of the newest checkpoints to keep, across attempts; at least 1.
        keep_every: keep also each checkpoint whose step is a multiple of this.
        keep_best: keep also this many of the best, as `best_by` ranks them.
        best_by: the key of a number in the checkpoint's metadata.
        lower_is_better: True for a loss, False for an accuracy.
    """

    keep_last: int = 3
    keep_every: int | None = None
    keep_best: int = 0
    best_by: str | None = None
    lower_is_better: bool = True

    def __post_init__(self) -> None:
        if self.keep_last < 1:
            raise InvalidArgumentError(f"keep_last is {self.keep_last}; at least 1 checkpoint must be kept")
        if self.keep_every is not None and self.keep_every < 1:
            raise InvalidArgumentError(f"keep_every is {self.keep_every}; it counts steps, from 1")
        if self.keep_best and not self.best_by:
            raise InvalidArgumentError("keep_best needs best_by, the key in the metadata to rank by")

    def score(self, metadata: Mapping[str, Any]) -> float | None:
        """What `metadata` says for the ranking; None where it says nothing."""
        value = metadata.get(self.best_by) if self.best_by else None
        try:
            return float(value) if isinstance(value, int | float) else None
        except OverflowError:  # a whole number of more than 308 digits
            return None

    def split(self, named: Sequence[Target]) -> tuple[list[Target], list[Target]]:
        """`(kept, released)` of what LATEST would name, which comes newest publish first."""
        ranked = sorted(
            (target for target in named if target.score is not None),
            key=lambda target: target.score or 0.0,
            reverse=not self.lower_is_better,
        )
        best = {target.checkpoint for target in ranked[: self.keep_best]}
        kept: list[Target] = []
        released: list[Target] = []
        room = HISTORY_LIMIT
        for place, target in enumerate(named):
            on_step = self.keep_every and target.step is not None and target.step % self.keep_every == 0
            wanted = place < self.keep_last or on_step or target.checkpoint in best
            stays = target.pinned or (wanted and room > 0)
            if stays and not target.pinned:
                room -= 1
            (kept if stays else released).append(target)
        return kept, released


def retention_of(environ: Mapping[str, str]) -> Retention:
    """What `CKPTPTR_KEEP_LAST`, `CKPTPTR_KEEP_EVERY` and `CKPTPTR_KEEP_BEST` say."""
    last, every, best = KEEP_LAST.read(environ), KEEP_EVERY.read(environ), KEEP_BEST.read(environ)
    if best is None:
        return Retention(keep_last=last, keep_every=every)
    return Retention(last, every, best.how_many, best.metric, best.lower_is_better)
