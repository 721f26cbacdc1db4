"""Stores for a look at many nodes: by the fast lane, and with few requests.

The fast lane moves an object whose size is known. A listing tells sizes, so what was listed is read fast.
None of these stores tells a version: LATEST is moved by another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from ckptptr.clock import Clock
from ckptptr.errors import DamagedError, StoreUnavailableError
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.protocol.names import DATA, MANIFESTS, CheckpointId, sets_folder, split_manifest_key
from ckptptr.stores.port import Entry, HasStream, Store, Token, folders_of
from ckptptr.stores.wrappers.around import Around, unwrap


class Quick(Around):
    """The same store, read and listed by the fast lane."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._sizes: dict[str, int] = {}

    def learn(self, sizes: Mapping[str, int]) -> None:
        """The sizes of objects that were listed elsewhere."""
        self._sizes.update(sizes)

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        size = self._sizes.get(key)
        if size and (limit is None or size <= limit):
            with suppress(DamagedError):  # it was written again, and is shorter now
                return b"".join(self._store.download(key, 0, size)), Token("")
        return self._store.read(key, limit)

    def latest(self, prefix: str, clock: Clock) -> Seen:
        """LATEST of a node.

        Raises: as `Latest.read`.
        """
        seen = Latest(self, prefix, clock, author="").read()
        # It may be longer by now than it was in the listing: its beginning alone looks damaged.
        return Latest(self._store, prefix, clock, author="").read() if seen.damage else seen

    def list(self, folder: str) -> Iterator[Entry]:
        entries = self._listed(folder)
        self.learn({entry.key: entry.size for entry in entries if split_manifest_key(entry.key)})
        return iter(entries)

    def _listed(self, folder: str) -> Sequence[Entry]:
        stream = unwrap(self._store, HasStream)
        with suppress(StoreUnavailableError):
            found = sorted(stream.stream(folder), key=lambda entry: entry.key) if stream else []
            if found:
                return found
        return [*self._store.list(folder)]  # patiently; and only this proves that nothing is there


class Glance(Around):
    """A look at one node: each home is listed once, each manifest read once; as old as the first look."""

    def __init__(self, store: Quick) -> None:
        super().__init__(store)
        self._homes: dict[str, Sequence[Entry]] = {}
        self._bodies: dict[str, tuple[bytes, Token]] = {}

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        found = split_manifest_key(key)
        if found is None:
            return self._store.read(key, limit)
        if key not in self._bodies:
            self.list(found[0])  # tells the size
            self._bodies[key] = self._store.read(key, limit)
        return self._bodies[key]

    def list(self, folder: str) -> Iterator[Entry]:
        home = _home_of(folder)
        if home not in self._homes:
            self._homes[home] = [*self._store.list(home)]
        return (entry for entry in self._homes[home] if entry.key.startswith(f"{folder}/"))

    def folders(self, folder: str) -> Sequence[str]:
        return folders_of(self.list(folder), folder)


def _home_of(folder: str) -> str:
    """The home that a folder is in, if it is one of a home; else the folder itself."""
    above, _, name = folder.rpartition("/")
    if name in (MANIFESTS, DATA):
        return above
    home = above.removesuffix(f"/{DATA}")
    is_below_data = home != above and (folder == sets_folder(home) or CheckpointId.match(name) is not None)
    return home if is_below_data else folder
