"""A store that reads each object once, so that one page shows one moment.

If the homes hold more than a page can show, or a task should wait for, the oldest manifests are left
out of the listings and of LATEST. The page says how many.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

import msgspec

from ckptptr.clock import Clock
from ckptptr.errors import CkptptrError, InvalidArgumentError
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.protocol.names import MANIFESTS, split_manifest_key
from ckptptr.protocol.node import Node
from ckptptr.stores.port import Entry, Store, Token, folders_of
from ckptptr.stores.wrappers.around import Around
from ckptptr.transfer.pool import run_all


class CachedStore(Around):
    """The same store, as it was at the first look. It refuses to write.

    Attributes:
        hidden: the keys of the manifests that `keep_newest` left out.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._read: dict[str, tuple[bytes, Token] | CkptptrError] = {}
        self._listed: dict[str, Sequence[Entry]] = {}
        self.hidden: frozenset[str] = frozenset()

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        if key not in self._read:
            try:
                self._read[key] = self._store.read(key, limit)
            except CkptptrError as error:
                self._read[key] = error
        answer = self._read[key]
        if isinstance(answer, CkptptrError):
            raise answer
        return answer

    def list(self, folder: str) -> Iterator[Entry]:
        if folder not in self._listed:
            above = next((known for known in [*self._listed] if folder.startswith(f"{known}/")), None)
            entries = self._store.list(folder) if above is None else self._listed[above]
            self._listed[folder] = tuple(entry for entry in entries if entry.key.startswith(f"{folder}/"))
        return iter(self._listed[folder])

    def folders(self, folder: str) -> Sequence[str]:
        return folders_of(self.list(folder), folder)

    def keep_newest(self, homes: Iterable[str], most: int) -> None:
        """Hide all manifests in these homes except the newest `most`."""
        folders = [f"{home}/{MANIFESTS}" for home in homes]
        run_all(self.list, folders)
        entries = (entry for folder in folders for entry in self._listed[folder])
        manifests = [(split[1].age, entry) for entry in entries if (split := split_manifest_key(entry.key))]
        manifests.sort(key=lambda pair: pair[0], reverse=True)
        self.hidden = frozenset(entry.key for _, entry in manifests[most:])
        for folder in folders:
            self._listed[folder] = tuple(e for e in self._listed[folder] if e.key not in self.hidden)

    def create(self, *_: Any, **__: Any) -> NoReturn:
        raise InvalidArgumentError("a report writes nothing to the store", key=self.url(""))

    replace = delete = upload = copy = create


class ShortLatest(Latest):
    """LATEST, without the entries of the history that a cached store hides."""

    def __init__(self, store: CachedStore, node: Node, clock: Clock) -> None:
        super().__init__(store, node.prefix, clock, author="")
        self._hidden = {node.root.ref(key) for key in store.hidden}

    def read(self) -> Seen:
        seen = super().read()
        if seen.pointer is None:
            return seen
        history = tuple(entry for entry in seen.pointer.history if entry.checkpoint not in self._hidden)
        return dataclasses.replace(seen, pointer=msgspec.structs.replace(seen.pointer, history=history))
