"""Several saves that become one checkpoint."""

from __future__ import annotations

import os

from ckptptr.session.content import Change, Saveable, addition, change_of


class Batch:
    """Several saves that become one checkpoint: see `Checkpoints.batch`."""

    def __init__(self) -> None:
        self.gathered = Change()

    def save(self, content: Saveable) -> None:
        """As `Checkpoints.save`, but nothing is uploaded before the batch ends."""
        self.gathered = self.gathered.then(change_of(content))

    def add(self, file: str | os.PathLike[str]) -> None:
        """As `Checkpoints.add`, but nothing is uploaded before the batch ends."""
        self.gathered = self.gathered.then(addition(file))
