"""Flyte: the same checkpoints, inside a flytekit task.

Zero lines: with ckptptr installed beside flytekit, `flytekit.current_context().checkpoint` is ours
(`ckptptr.flyte.plugin`). One line, for what stock flytekit does not have:

    from ckptptr.flyte import checkpoint

    checkpoint().save("model/", step=100, metadata={"loss": 0.1})
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint

__all__ = ["checkpoint"]


def checkpoint(*, seed: str = "") -> PointerCheckpoint:
    """The checkpoint of the task that is running, also in a local run and also under `CKPTPTR_DISABLE`.

    Args:
        seed: where to begin if this node has nothing of its own: in place of `CKPTPTR_SEED`, and to be
            given with the first use in the task.

    Raises:
        InvalidArgumentError: the checkpoint was used before, with another seed or none.
        UnidentifiedError: which node of a Flyte execution this is cannot be told.
        NotImplementedError: flytekit has no checkpoint here (its own error).
    """
    from ckptptr.flyte.plugin import checkpoint_of_task

    return checkpoint_of_task(seed)
