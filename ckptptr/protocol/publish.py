"""Publish: commit a checkpoint by its manifest, then confirm it by moving LATEST.

Rules kept here: a fence above our attempt refuses us; a LATEST that a person holds is not moved; of
several processes of one attempt the higher seq stays the target; a LATEST that is gone or damaged
is rebuilt from listings; what retention releases is listed as expired, and never deleted at once.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec

from ckptptr.clock import Clock
from ckptptr.errors import ConflictError, DamagedError, NotFoundError
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.inventory import describe, read_manifest, take_stock
from ckptptr.protocol.latest import Latest, LookAgain, Move, Seen
from ckptptr.protocol.manifest import FileRecord, Manifest
from ckptptr.protocol.names import CheckpointId, data_folder, manifest_key
from ckptptr.protocol.node import Node
from ckptptr.protocol.once import create_once
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.references import FRESH
from ckptptr.protocol.retention import Retention
from ckptptr.stores.port import GLANCE, Store

log = logging.getLogger("ckptptr")

EXPIRED_LIMIT = 1000
"""How many LATEST lists: where nothing can be deleted (no permission) the list must not grow forever."""


class Fate(enum.Enum):
    """What happens to our checkpoint where others have moved LATEST before it was published."""

    FITS = "it can be named as it is"
    RENEWED = "it was committed again, with what others saved or with copies of what they may delete"
    CONTAINED = "a sibling's checkpoint has all of it, and ours must not be named any more"


class Rebased(NamedTuple):
    """A decision about our checkpoint, and the checkpoint to publish from here on."""

    fate: Fate
    manifest: Manifest


Rebase = Callable[[Seen, Manifest], Rebased]
"""Decides about our checkpoint, given LATEST as others have moved it."""


class Standing(enum.Enum):
    """Where a publish left its checkpoint."""

    TARGET = "LATEST names it"
    HISTORY = "LATEST names a newer one of this attempt, and this one in its history"
    PASSED = "LATEST names newer ones of this attempt only; this one is not needed any more"
    HELD = "LATEST is held by a person until a restore adopts it; the checkpoint is committed beside it"


@dataclass(frozen=True, slots=True)
class Published:
    """The outcome of a publish: the checkpoint as it ended up, and LATEST as last seen."""

    standing: Standing
    manifest: Manifest
    seen: Seen


@dataclass(frozen=True, slots=True)
class Publisher:
    """Commits and publishes the checkpoints of one node."""

    store: Store
    node: Node
    latest: Latest
    clock: Clock
    retention: Retention = field(default_factory=Retention)
    _unranked: set[str] = field(default_factory=set)
    """References of checkpoints whose metadata say nothing for the ranking."""

    def commit(self, manifest: Manifest) -> None:
        """Put the manifest, create-only. When this returns the checkpoint is committed.

        Raises:
            StoreUnavailableError: it could not be put, or it is unknown whether it was.
            DamagedError: something else stands under its name.
        """
        key = manifest_key(self.node.home, manifest.checkpoint_id)
        body = manifest.encode()
        if create_once(self.store, self.clock, key, body) != body:
            raise DamagedError("another manifest stands under this name", key=self.store.url(key))

    def manifest(
        self,
        checkpoint: CheckpointId,
        files: Iterable[FileRecord],
        *,
        step: int | None,
        metadata: dict[str, Any],
        folders: Iterable[str] = (),
        parent: str | None = None,
        copied_from: str | None = None,
    ) -> Manifest:
        """The manifest of a new checkpoint in our own home."""
        records = tuple(sorted(files, key=lambda record: record.path))
        return Manifest(
            id=str(checkpoint),
            attempt=checkpoint.attempt,
            seq=checkpoint.seq,
            step=step,
            created_at=self.latest.stamp(),
            created_by=self.latest.author,
            parent=parent,
            copied_from=copied_from,
            lineage=self.node.lineage,
            metadata=metadata,
            files=records,
            folders=tuple(sorted({*folders})),
            total_bytes=sum(record.size for record in records),
        )

    def found(self, manifest: Manifest) -> Found:
        """A checkpoint of our own home, as a restore would find it."""
        home = self.node.home
        reference = self.node.root.ref(manifest_key(home, manifest.checkpoint_id))
        return Found(reference, home, manifest.files, manifest)

    def publish(
        self,
        seen: Seen,
        manifest: Manifest,
        rebase: Rebase,
        *,
        orphans: Iterable[str] = (),
        deleted: Iterable[str] = (),
    ) -> Published:
        """Confirm a committed checkpoint.

        Args:
            seen: LATEST as this process last saw it.
            rebase: called with LATEST whenever others have moved it, or it had to be rebuilt.
            orphans: references to list as expired by the same swap.
            deleted: references that LATEST need not list as expired any more: what is deleted by now, what
                turned out to be another node's, and what was pinned. Of these LATEST goes on to name only
                what is there and ours.

        Raises:
            SupersededError: a newer attempt owns LATEST.
            ConflictError, OutcomeUnknownError, StoreUnavailableError: as `Latest.update`.
        """
        publication = _Publication(self, seen, manifest, rebase, tuple(orphans), frozenset(deleted))
        updated = self.latest.update(publication.decide, seen)
        standing = updated.outcome or Standing.TARGET  # `decide` also looks at each move that was won
        return Published(standing, publication.manifest, updated.seen)

    def entry(self, manifest: Manifest) -> Target:
        """Our checkpoint as LATEST names it."""
        score = self.retention.score(manifest.metadata)
        return describe(self.node.root, self.node.home, manifest, score=score)

    def may_be_deleted(self, pointer: Pointer, manifest: Manifest) -> bool:
        """Whether a sweep may have deleted a checkpoint of ours, which LATEST does not name.

        It was named, and has expired since; or all that is named is ours and newer, so that it counted as
        an orphan; or it is deleted already. A sweep by hand may have deleted its files, as those of an
        orphan, before we committed it: an edited LATEST has no fence that tells.
        """
        named = pointer.retained
        is_passed = named and all(self.is_in_own_home(t) and t.seq > manifest.seq for t in named)
        if is_passed or self.entry(manifest).checkpoint in pointer.expired:
            return True
        if not self.is_committed(self.entry(manifest).checkpoint):
            return True
        return pointer.edited and not self._has_its_own_files(manifest)

    def is_committed(self, reference: str) -> bool:
        """Whether a checkpoint has its manifest: what deletes it begins with that."""
        try:
            self.store.read(self.node.root.key(reference), GLANCE)
        except NotFoundError:
            return False
        return True

    def _has_its_own_files(self, manifest: Manifest) -> bool:
        """Whether all files that were sent for it are there; nothing is said of those that it refers to."""
        own = f"{self.node.home}/{data_folder(manifest.checkpoint_id)}"
        sent = {f"{self.node.home}/{record.object}" for record in manifest.files}
        there = {entry.key for entry in self.store.list(own)}
        return all(key in there for key in sent if key.startswith(f"{own}/"))

    def rebuilt(self, manifest: Manifest) -> Pointer:
        """What listings tell where LATEST is absent or damaged, our new checkpoint aside.

        The next few attempts are looked at as well: a superseded attempt must find its fence again.
        """
        homes = (*self.node.later_homes(), *self.node.own_homes(self.store))
        found = take_stock(
            self.store,
            self.node.root,
            homes,
            self.node.lineage,
            self.retention.score,
            without=manifest.checkpoint_id,
        )
        if found:
            log.warning(
                "rebuilt the history of %s from %d committed checkpoints", self.latest.url, len(found)
            )
        return Pointer(
            target=found[0] if found else Target(checkpoint=FRESH),
            history=tuple(found[1:]),
            fence=max((target.attempt for target in found), default=-1),
        )

    def split(self, named: list[Target]) -> tuple[list[Target], list[Target]]:
        """`(kept, released)`, as the retention says.

        LATEST may have no score of a checkpoint: a person chose or made it, or wrote LATEST. So its manifest
        is read before it is released.
        """
        self._unranked.intersection_update(target.checkpoint for target in named)
        while True:
            kept, released = self.retention.split(named)
            unknown = {t.checkpoint for t in released if t.score is None} - self._unranked
            if not (self.retention.keep_best and unknown):
                return kept, released
            named = [self._ranked(target) if target.checkpoint in unknown else target for target in named]

    def _ranked(self, target: Target) -> Target:
        """The target with the score that its manifest gives it."""
        place = self.node.root.manifest_at(target.checkpoint)
        score = None
        if place is not None:
            with suppress(NotFoundError, DamagedError):
                manifest = read_manifest(self.store, place.home, place.id)
                score = self.retention.score(manifest.metadata)
        if score is None:
            self._unranked.add(target.checkpoint)
        return msgspec.structs.replace(target, score=score)

    def is_in_own_home(self, target: Target) -> bool:
        return target.checkpoint.startswith(f"{self.node.root.ref(self.node.home)}/")

    def may_name(self, target: Target) -> bool:
        """Whether a checkpoint is there, and not another node's."""
        place = self.node.root.manifest_at(target.checkpoint)
        if place is not None:
            with suppress(NotFoundError, DamagedError):
                manifest = read_manifest(self.store, place.home, place.id)
                return not self.node.lineage.differs_from(manifest.lineage)
        return False


@dataclass(slots=True)
class _Publication:
    """One checkpoint on its way into LATEST. `manifest` changes where others move LATEST first.

    `fits`: LATEST that the checkpoint was made for. `held`: the same, where it was held after that.
    """

    publisher: Publisher
    fits: Seen
    manifest: Manifest
    rebase: Rebase
    orphans: tuple[str, ...]
    deleted: frozenset[str]
    held: Seen | None = None

    def decide(self, seen: Seen) -> Move | LookAgain | Standing:
        """The next move, or where the checkpoint stands in LATEST as it is now."""
        ours = self.publisher.entry(self.manifest).checkpoint
        is_named = seen.is_proof_of(ours)
        if is_named and seen.pointer is not None and seen.pointer.target.checkpoint == ours:
            return Standing.TARGET
        fate = Fate.FITS if seen is self.fits else self._rebase_on(seen)
        if is_named and fate is not Fate.RENEWED:  # named before we began: a set, by another rank
            return Standing.HISTORY
        pointer = seen.pointer or self.publisher.rebuilt(self.manifest)
        hint = "This process must stop; what it had confirmed is in the history of LATEST"
        self.publisher.latest.check_fence(pointer.fence, pointer, hint=hint)
        if seen.pointer is None:
            fate = self._rebase_on(replace(seen, pointer=pointer))
        if fate is Fate.CONTAINED:
            return self._passed(seen, pointer)
        if seen.is_held and seen is self.held:
            return Standing.HELD
        if seen.is_held:  # the hold may be over since the checkpoint was begun, or committed again
            self.fits = self.held = seen
            return LookAgain()
        entry = self.publisher.entry(self.manifest)
        if entry.score is None:
            self.publisher._unranked.add(entry.checkpoint)
        return Move(self._naming(entry, pointer), "save", publishes=entry.checkpoint)

    def _passed(self, seen: Seen, pointer: Pointer) -> Move | Standing:
        """Ours is not needed any more. If only listings tell so, LATEST has to name the newer one first.

        Raises:
            ConflictError: there is none.
        """
        if seen.pointer is not None:
            return Standing.PASSED
        if not self.publisher.is_in_own_home(pointer.target):
            raise ConflictError(
                f"checkpoint {self.manifest.id} was deleted before LATEST named it, and none is newer",
                key=self.publisher.latest.url,
                hint="Save again",
            )
        rebuilt = self._naming(None, pointer)
        return Move(rebuilt, "save", publishes=rebuilt.target.checkpoint)

    def _rebase_on(self, seen: Seen) -> Fate:
        fate, self.manifest = self.rebase(seen, self.manifest)
        return fate

    def _naming(self, entry: Target | None, pointer: Pointer) -> Pointer:
        """LATEST with `entry` published, if there is one."""
        publisher = self.publisher
        before = [t for t in pointer.retained if t.checkpoint not in self.deleted or publisher.may_name(t)]
        named = [entry, *before] if entry else before
        if entry and pointer.target in before[:1] and self._is_ahead(pointer, entry):
            named[:2] = [pointer.target, entry]  # a sibling of this attempt is ahead, and stays the target
        kept, released = publisher.split(named)
        expired = [target.checkpoint for target in released if publisher.node.owns(target.checkpoint)]
        listed = dict.fromkeys((*expired, *pointer.expired, *self.orphans))
        gone = self.deleted.difference(target.checkpoint for target in before)
        for reference in (*(target.checkpoint for target in kept), *gone):
            listed.pop(reference, None)
        return Pointer(
            target=kept[0],
            history=tuple(kept[1:]),
            expired=tuple(listed)[:EXPIRED_LIMIT],
            fence=publisher.node.attempt,
            incarnation=publisher.latest.fence.marked_on(pointer),
        )

    def _is_ahead(self, pointer: Pointer, entry: Target) -> bool:
        """Whether the target of LATEST is a newer checkpoint of our own incarnation."""
        is_siblings = self.publisher.is_in_own_home(pointer.target)
        is_siblings = is_siblings and not self.publisher.latest.fence.is_of_another_incarnation(pointer)
        return is_siblings and pointer.target.seq > entry.seq
