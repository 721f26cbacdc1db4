"""Whether a checkpoint is all there, as far as a listing tells: each object, of the size that was saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ckptptr.protocol.manifest import FileRecord
from ckptptr.protocol.names import DATA
from ckptptr.stores.port import Entry, Store


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with one file of a checkpoint. `key`: of its object."""

    path: str
    key: str
    problem: str


def payload_of(store: Store, home: str) -> dict[str, Entry]:
    """The payload objects of a home by their keys: one listing."""
    return by_key(store.list(f"{home}/{DATA}"))


def by_key(entries: Iterable[Entry]) -> dict[str, Entry]:
    return {entry.key: entry for entry in entries}


def flaws(home: str, files: Iterable[FileRecord], listed: Mapping[str, Entry]) -> list[Flaw]:
    """The files that are gone, or of another size than they were saved with."""
    found = []
    for record in files:
        key = f"{home}/{record.object}"
        entry = listed.get(key)
        if entry is None:
            found.append(Flaw(record.path, key, "it is gone"))
        elif entry.size != record.size:
            found.append(Flaw(record.path, key, f"it has {entry.size} bytes, {record.size} were saved"))
    return found
