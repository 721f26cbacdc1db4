"""Where a restore keeps what it has fetched until all is there; a killed restore's is found again.

It is a hidden folder in the destination, so on the same filesystem, and a rename moves files out of it.
A file is named by the digest that it has to have: the next restore takes over those of a killed one that have
it. The rest is removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ckptptr.hidden import HIDDEN, HiddenFolder, left_behind

PREFIX = f"{HIDDEN}restore-"
_LONGEST = 64
"""Of a digest, in characters."""


class Staging(HiddenFolder):
    """A folder of our own in `destination`, which is made. Raises OSError."""

    def __init__(self, destination: Path) -> None:
        self._destination = destination
        destination.mkdir(parents=True, exist_ok=True)
        super().__init__(destination, PREFIX)
        self._count = 0

    def new(self, digest: str) -> str:
        """Where a file of that digest can be written."""
        self._count += 1
        is_known = digest.isascii() and digest.isalnum() and len(digest) <= _LONGEST  # it is from a manifest
        return os.path.join(self.path, f"{digest if is_known else 'unknown'}-{self._count}")

    def inherited(self) -> Iterator[tuple[str, Path]]:
        """`(digest, file)` for what killed restores had: moved in here, their folders removed."""
        for folder in left_behind(self._destination, PREFIX):
            for file in sorted(folder.iterdir()):
                digest, dash, _ = file.name.partition("-")
                if dash:
                    yield digest, file.rename(self.new(digest))
