"""Whether a checkpoint is all there, as far as a listing tells: each object, of the size that was saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ckptptr.protocol.manifest import FileRecord
from ckptptr.protocol.names import DATA
from ckptptr.stores.port import Store


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with one file of a checkpoint. `key`: of its object."""

    path: str
    key: str
    problem: str


def sizes_in(store: Store, home: str) -> dict[str, int]:
    """The payload objects of a home, with their sizes: one listing."""
    return {entry.key: entry.size for entry in store.list(f"{home}/{DATA}")}


def flaws(home: str, files: Iterable[FileRecord], sizes: Mapping[str, int]) -> list[Flaw]:
    """The files that are gone, or of another size than they were saved with."""
    found = []
    for record in files:
        key = f"{home}/{record.object}"
        size = sizes.get(key)
        if size is None:
            found.append(Flaw(record.path, key, "it is gone"))
        elif size != record.size:
            found.append(Flaw(record.path, key, f"it has {size} bytes, {record.size} were saved"))
    return found
