"""Where a restore keeps what it has fetched until all is there; a killed restore's is found again.

It is a hidden folder in the destination, so on the same filesystem, and a rename moves files out of it.
The next restore takes over the files that a killed one had verified: they are named by their digest, and
verified again. The rest is removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ckptptr.hidden import HIDDEN, HiddenFolder, left_behind

PREFIX = f"{HIDDEN}restore-"


class Staging(HiddenFolder):
    """A folder of our own in `destination`, which is made. Raises OSError."""

    def __init__(self, destination: Path) -> None:
        self._destination = destination
        destination.mkdir(parents=True, exist_ok=True)
        super().__init__(destination, PREFIX)

    def verified(self, path: Path, digest: str) -> Path:
        """Say that a file in here is whole; where it is now."""
        return path.rename(path.with_name(f"{digest}-{path.name}"))

    def inherited(self) -> Iterator[tuple[str, Path]]:
        """`(digest, file)` for what killed restores had verified: moved in here, their folders removed."""
        for number, folder in enumerate(left_behind(self._destination, PREFIX)):
            for file in sorted(folder.iterdir()):
                digest, dash, _ = file.name.partition("-")
                if dash:
                    yield digest, file.rename(self.path / f"{digest}-left{number}-{file.name}")
