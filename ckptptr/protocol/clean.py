"""Clean: delete what a node of an execution that is over has, all of it or all but some checkpoints.

Wherever it is killed, LATEST names nothing that is gone, and the next clean finds the rest:

- nothing stays: a swap holds LATEST on `none`, so that an attempt that begins meanwhile starts fresh, and
  takes the hold off. Then manifests are deleted before payload, and LATEST last, if it is still ours;
- something stays: a swap makes LATEST name that, and lists the rest as expired. Then as a sweep by hand.

The first swap replaces just the LATEST that the decision was made on: if it has moved, nothing is deleted.
Nor is anything more deleted once another process has moved LATEST after that: what is listed anew may be its.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from ckptptr.errors import ConflictError, DamagedError, NotFoundError
from ckptptr.protocol.inventory import describe, is_pinned, read_manifest
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.protocol.node import Node
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.publish import EXPIRED_LIMIT
from ckptptr.protocol.references import FRESH
from ckptptr.protocol.sweep import delete, everything, sweep_by_hand
from ckptptr.stores.port import Store

BY = "clean"
DELETES = "ckptptr clean deletes this node. If it was interrupted, run it again"
KEEPS = "ckptptr clean has deleted all other checkpoints"


def is_moved_by_clean(seen: Seen) -> bool:
    """Whether a clean was the last that changed what LATEST names."""
    pointer = seen.pointer
    return pointer is not None and not pointer.edited and pointer.moved_with == BY


def is_begun(seen: Seen) -> bool:
    """Whether a clean that deletes all of a node was interrupted, and no restore has moved LATEST since."""
    return is_moved_by_clean(seen) and seen.is_held


@dataclass(frozen=True, slots=True)
class Cleaner:
    """Cleans one node. `homes`: all that have anything in them."""

    store: Store
    node: Node
    latest: Latest
    homes: Sequence[str]

    def clean(self, seen: Seen, pointer: Pointer, keep: Sequence[str]) -> None:
        """Delete all but `keep`; LATEST too if nothing is kept.

        Args:
            seen: LATEST, read before the homes were listed and `keep` was decided.
            pointer: what it says.
            keep: references, the newest first. What is pinned stays also if it is not in here.

        Raises:
            ConflictError: LATEST has moved since. If it moved before we began, nothing was deleted.
            DamagedError: what is kept cannot be named; or a damaged manifest of another node may need what
                would be deleted.
            UnsupportedFormatError: a newer version wrote a manifest. Nothing was deleted.
        """
        wanted = self._wanted(keep)
        if not keep:
            self._delete_all(seen, pointer, wanted)
        elif wanted:
            self._delete_others(seen, pointer, keep, wanted)

    def _wanted(self, keep: Collection[str] = ()) -> list[str]:
        there = everything(self.store, self.node, self.homes)
        return [reference for reference in there if reference not in keep]

    def _delete_all(self, seen: Seen, pointer: Pointer, wanted: Sequence[str]) -> None:
        if not is_begun(seen):
            none = Target(checkpoint=FRESH)
            named = pointer.retained
            seen = self._swap(seen, _changed(pointer, target=none, history=named, held=True, note=DELETES))
        while wanted:
            if self.latest.read().token != seen.token:
                raise self._moved()  # an attempt has begun, and may have saved some of this
            delete(self.store, self.node, wanted)
            before, wanted = wanted, self._wanted()
            if wanted == before:
                raise DamagedError(
                    "a damaged manifest of another node may need the payload here",
                    key=self.latest.url,
                    hint="`ckptptr verify --all` tells which",
                )
        kept = f"{self.latest.key}.damaged-"
        beside = [e.key for e in self.store.list(self.node.prefix) if e.key.startswith(kept)]
        if self.latest.read().token != seen.token:
            raise self._moved()
        self.store.delete([*beside, self.latest.key])

    def _delete_others(
        self, seen: Seen, pointer: Pointer, keep: Sequence[str], wanted: Sequence[str]
    ) -> None:
        while wanted:
            some = wanted[:EXPIRED_LIMIT]
            ours = self._swap(seen, self._keeping(pointer, keep, some)).pointer
            sweep_by_hand(self.store, self.node, self.latest, some)
            before, wanted = wanted, self._wanted(keep)
            seen = self.latest.read()
            if wanted == before or seen.pointer is None:  # a damaged manifest that is kept may need it
                return
            if wanted and _moved_at_and_by(seen.pointer) != _moved_at_and_by(ours):
                raise self._moved()
            pointer = seen.pointer

    def _keeping(self, pointer: Pointer, keep: Sequence[str], expired: Sequence[str]) -> Pointer:
        """LATEST with only what is kept; its target stays if that is."""
        named = [entry for entry in pointer.retained if entry.checkpoint in keep]
        known = {entry.checkpoint for entry in named}
        named += [entry for name in keep if name not in known for entry in self._read(name)]
        if not named:
            message = "what is pinned here, or named by another LATEST, cannot be read"
            raise DamagedError(message, key=self.latest.url, hint="Run `ckptptr verify --all`")
        listed = dict.fromkeys((*expired, *(name for name in pointer.expired if name not in keep)))
        # The note also tells the next clean who moved LATEST, even if its target stays.
        said = "" if pointer.held or KEEPS in pointer.note else pointer.note
        return _changed(
            pointer,
            target=named[0],
            history=tuple(named[1:]),
            expired=tuple(listed)[:EXPIRED_LIMIT],
            held=False,
            note=f"{said}; {KEEPS}" if said else KEEPS,
        )

    def _read(self, reference: str) -> Iterable[Target]:
        place = self.node.root.manifest_at(reference)
        if place is not None:
            with suppress(NotFoundError, DamagedError):
                manifest = read_manifest(self.store, place.home, place.id)
                pinned = is_pinned(self.store, place.home, manifest)
                yield describe(self.node.root, place.home, manifest, pinned=pinned)

    def _swap(self, seen: Seen, pointer: Pointer) -> Seen:
        swap = self.latest.swap(seen, pointer, by=BY)
        if not swap.won:
            raise self._moved()
        return swap.seen

    def _moved(self) -> ConflictError:
        return ConflictError("LATEST moved meanwhile", key=self.latest.url, hint="Run `ckptptr show`")


def _moved_at_and_by(pointer: Pointer | None) -> tuple[str, str] | None:
    """When and by whom; of an edit, and of none, nothing tells."""
    return (pointer.moved_at, pointer.moved_by) if pointer is not None and not pointer.edited else None


_changed = msgspec.structs.replace
