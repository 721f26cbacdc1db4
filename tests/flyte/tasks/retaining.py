"""A task that keeps its best checkpoint, as its code or its environment says, and restores it by its step."""

from __future__ import annotations

from flytekit import current_context, task

from ckptptr import InvalidArgumentError, Retention
from ckptptr.flyte import checkpoint

BEST = Retention(keep_last=1, keep_best=1, best_by="loss")
LOSSES = (4, 1, 3, 2, 5)


@task
def train(way: str) -> str:
    if way == "late":
        current_context().checkpoint.read()  # what stock flytekit has comes first
    ours = checkpoint(retention=None if way == "environment" else BEST)
    ours.restore()
    latest = ours.latest
    began = latest.step if latest else None
    for step in range(0 if began is None else began + 1, len(LOSSES)):
        checkpoint(retention=None if way == "environment" else BEST).save(
            f"state {step}".encode(), step=step, metadata={"loss": LOSSES[step]}
        )
    retained = [kept.step for kept in ours.history()]
    folder = ours.restore(step=1)
    best = (folder / "_dst_cp").read_bytes() if folder else None
    try:
        checkpoint(retention=Retention(keep_last=9))
        late = "taken"
    except InvalidArgumentError:
        late = "too late"
    return f"resumed from {began}; best {best!r}, retained {retained}; late: {late}"
