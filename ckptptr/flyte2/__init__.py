"""Flyte 2: the same checkpoints, inside a task of the SDK `flyte`.

You change no code: with ckptptr installed beside flyte, `flyte.ctx().checkpoint` is ours
(`ckptptr.flyte2.plugin`). One import gives you more than the stock one:

    from ckptptr.flyte2 import checkpoint

    await checkpoint().save("model/", step=100, metadata={"loss": 0.1})

Here live: where the checkpoints of a task are (`place`), and the drop-in (`plugin`, `task`,
`pointer_checkpoint`, `errors`). May import everything but cli, flyte and flytekit. The rule: to import this
or the plugin loads nothing else, and cannot fail. No state is the process's: a reusable container runs many
tasks at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckptptr.flyte2.pointer_checkpoint import PointerCheckpoint
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
        UnidentifiedError: it is unknown which action of a run this is.
        flyte.errors.NotInTaskContextError: there is no task here. In a thread of your own, too: get it in the
            task's thread, and pass it on.
    """
    from ckptptr.flyte2.plugin import checkpoint_of_task

    made = checkpoint_of_task(seed)
    if retention is not None:
        made.retain(retention)
    return made
