"""Whether a restore would take a checkpoint, as far as listings tell; no payload is fetched."""

from __future__ import annotations

from ckptptr.errors import DamagedError
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.complete import Flaw, flaws, payload_of
from ckptptr.stores.port import Entry, Store
from ckptptr.wording import counted


class Listed:
    """Accepts a checkpoint as a restore would, as far as listings tell.

    Each home is listed once, and again before anything in it is rejected: it may be newer than the listing.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._homes: dict[str, dict[str, Entry]] = {}

    def flaws(self, found: Found) -> list[Flaw]:
        """The files that are missing or have another size. A plain folder is what its listing says."""
        if found.manifest is None:
            return []
        if found.home in self._homes and not flaws(found.home, found.files, self._homes[found.home]):
            return []
        self._homes[found.home] = payload_of(self._store, found.home)
        return flaws(found.home, found.files, self._homes[found.home])

    def archived(self, found: Found) -> list[str]:
        """The keys of the files, of a checkpoint without flaws, whose class keeps them from being read."""
        listed = self._homes.get(found.home, {})
        keys = (f"{found.home}/{record.object}" for record in found.files)
        return [key for key in keys if key in listed and listed[key].is_archived]

    def __call__(self, found: Found) -> None:
        bad = self.flaws(found)
        if bad:
            those = counted(len(bad), "file is", "files are")
            raise DamagedError(
                f"{those} missing or of another size, {bad[0].path!r}: {bad[0].problem}",
                key=self._store.url(bad[0].key),
            )
