"""Flyte: the same checkpoints, inside a flytekit task.

You change no code: with ckptptr installed beside flytekit, `flytekit.current_context().checkpoint` is ours
(`ckptptr.flyte.plugin`). One import gives you more than stock flytekit:

    from ckptptr.flyte import checkpoint

    checkpoint().save("model/", step=100, metadata={"loss": 0.1})

Here live: who a pod is (`identity`, `handed_on`), and the drop-in (`plugin`, `task`, `pointer_checkpoint`,
`errors`, `deck`). May import everything but cli, flyte2 and Flyte 2's SDK. The rule: to import this or the
plugin loads nothing else, and cannot fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint
    from ckptptr.protocol.retention import Retention

__all__ = ["checkpoint"]


def checkpoint(*, seed: str = "", retention: Retention | None = None) -> PointerCheckpoint:
    """The checkpoint of the running task, also in a local run and under `CKPTPTR_DISABLE`.

    Args:
        seed: where to begin if this node has no checkpoint: in place of `CKPTPTR_SEED`. Give it with the
            first use in the task.
        retention: which checkpoints to keep: in place of `CKPTPTR_KEEP_LAST`, `CKPTPTR_KEEP_EVERY` and
            `CKPTPTR_KEEP_BEST`. Give it at any time before the first save; giving the same one again is fine.

    Raises:
        InvalidArgumentError: the checkpoint was used before with another seed, or something was saved under
            another retention.
        UnidentifiedError: it is unknown which node of a Flyte execution this is.
        NotImplementedError: flytekit has no checkpoint here (its own error).
    """
    from ckptptr.flyte.plugin import checkpoint_of_task

    made = checkpoint_of_task(seed)
    if retention is not None:
        made.retain(retention)
    return made
