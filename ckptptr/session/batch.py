"""Several saves that become one checkpoint."""

from __future__ import annotations

import os

from ckptptr.session.content import Change, Saveable, addition, change_of
from ckptptr.transfer.folder import Selection


class Batch:
    """Several saves that become one checkpoint: see `Checkpoints.batch`."""

    def __init__(self, selection: Selection | None = None) -> None:
        self._selection = selection
        self.gathered = Change()

    def save(self, content: Saveable) -> None:
        """As `Checkpoints.save`, but nothing is uploaded before the batch ends."""
        self.gathered = self.gathered.then(change_of(content, self._selection))

    def add(self, file: str | os.PathLike[str]) -> None:
        """As `Checkpoints.add`, but nothing is uploaded before the batch ends."""
        self.gathered = self.gathered.then(addition(file))
