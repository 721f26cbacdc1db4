"""Whether a restore would take a checkpoint, as far as listings tell; no payload is fetched."""

from __future__ import annotations

from ckptptr.errors import DamagedError
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.complete import Flaw, flaws, sizes_in
from ckptptr.stores.port import Store
from ckptptr.wording import counted


class Listed:
    """Accepts a checkpoint as a restore would, as far as listings tell.

    Each home is listed once, and again before anything in it is rejected: it may be newer than the listing.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sizes: dict[str, dict[str, int]] = {}

    def flaws(self, found: Found) -> list[Flaw]:
        """The files that are missing or have another size. A plain folder is what its listing says."""
        if found.manifest is None:
            return []
        if found.home in self._sizes and not flaws(found.home, found.files, self._sizes[found.home]):
            return []
        self._sizes[found.home] = sizes_in(self._store, found.home)
        return flaws(found.home, found.files, self._sizes[found.home])

    def __call__(self, found: Found) -> None:
        bad = self.flaws(found)
        if bad:
            those = counted(len(bad), "file is", "files are")
            raise DamagedError(
                f"{those} missing or of another size, {bad[0].path!r}: {bad[0].problem}",
                key=self._store.url(bad[0].key),
            )
