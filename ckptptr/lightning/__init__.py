"""For programs that train with Lightning: what a `ModelCheckpoint` writes is a checkpoint.

    callback = Checkpoint(checkpoints, "out", every_n_train_steps=100)
    trainer = Trainer(callbacks=[callback])
    trainer.fit(model, ckpt_path=callback.resume())

`checkpoints` is what `ckptptr.open` returns, or the checkpoint of a task. Importing this imports Lightning.
The rule: Lightning writes and reads its files as ever; only what is confirmed is resumed from.
"""

from __future__ import annotations

from ckptptr.lightning.callback import Checkpoint
from ckptptr.lightning.plugin import CheckpointIO

__all__ = ["Checkpoint", "CheckpointIO"]
