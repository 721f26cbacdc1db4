"""Several saves that become one checkpoint."""

from __future__ import annotations

from ckptptr.session.content import Change, Saveable, change


class Batch:
    """Several saves that become one checkpoint: see `Checkpoints.batch`."""

    def __init__(self) -> None:
        self.change = Change()

    def save(self, content: Saveable) -> None:
        """As `Checkpoints.save`, but nothing is uploaded before the batch ends."""
        self.change = self.change.then(change(content))
