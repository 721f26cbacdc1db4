"""Publish: commit a checkpoint by its manifest, then confirm it by moving LATEST.

Rules kept here: a fence above our attempt refuses us; a LATEST that a person holds is not moved; of
several processes of one attempt the higher seq stays the target; a LATEST that is gone or damaged
is rebuilt from listings; what retention lets go is doomed, never deleted at once.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from ckptptr.clock import Clock, backoff
from ckptptr.errors import (
    AccessDeniedError,
    ConflictError,
    DamagedError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.protocol.inventory import describe, take_stock
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.protocol.manifest import Manifest
from ckptptr.protocol.names import manifest_key
from ckptptr.protocol.node import Node
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.references import FRESH
from ckptptr.protocol.retention import Retention
from ckptptr.stores.port import Store

log = logging.getLogger("ckptptr")

TRIES = 10
DOOMED_LIMIT = 1000
"""Where nothing may be deleted (no permission, say), `doomed` must not grow for ever either."""

Rebase = Callable[[Seen, Manifest], Manifest | None]
"""Makes a checkpoint fit for a LATEST that others have moved; returns it as it was where it still fits, None
where a sibling's has all of it and ours is not worth naming."""


class Standing(enum.Enum):
    """Where a publish left its checkpoint."""

    TARGET = "LATEST names it"
    HISTORY = "LATEST names a newer one of this attempt, and this one in its history"
    PASSED = "LATEST names newer ones of this attempt only; this one is not needed any more"
    HELD = "LATEST is held by a person and was left alone; the checkpoint is committed"


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

    def commit(self, manifest: Manifest) -> None:
        """Put the manifest, create-only. When this returns the checkpoint is committed.

        Raises:
            StoreUnavailableError: it could not be put, or it could not be learnt whether it was.
            DamagedError: something else stands under its name.
        """
        key = manifest_key(self.node.home, manifest.checkpoint_id)
        body = manifest.encode()
        for tried in range(1, TRIES + 1):
            try:
                self.store.create(key, body)
                return
            except AccessDeniedError:
                raise
            except (ConflictError, StoreUnavailableError) as problem:
                last = problem
            try:
                if self.store.read(key)[0] == body:
                    return  # the reply was lost, the manifest was not
                raise DamagedError(
                    "another manifest stands under this name", key=self.store.url(key)
                ) from last
            except NotFoundError:
                backoff(self.clock, tried)
        raise StoreUnavailableError(
            f"the manifest could not be put in {TRIES} tries ({last})",
            key=self.store.url(key),
            hint="The checkpoint is not committed; LATEST is unchanged",
        )

    def publish(
        self,
        seen: Seen,
        manifest: Manifest,
        rebase: Rebase,
        *,
        condemned: Iterable[str] = (),
        swept: Iterable[str] = (),
    ) -> Published:
        """Confirm a committed checkpoint.

        Args:
            seen: LATEST as this process last saw it.
            rebase: called with LATEST whenever others have moved it, or it had to be rebuilt.
            condemned: references of orphans to doom by the same swap.
            swept: references that are not to be named again: what was doomed and is gone now, and what
                turned out to be another node's.

        Raises:
            SupersededError: a newer attempt owns LATEST.
            ConflictError: others kept moving LATEST for as long as we tried.
            OutcomeUnknownError, StoreUnavailableError: LATEST could not be moved, or nobody knows.
        """
        for tried in range(1, TRIES + 1):
            if seen.is_held:
                return Published(Standing.HELD, manifest, seen)
            pointer = seen.pointer or self._rebuilt(manifest)
            hint = "This process must stop; what it had confirmed is in the history of LATEST"
            self.latest.check_fence(pointer.fence, pointer, hint=hint)
            if seen.pointer is None:
                seen = replace(seen, pointer=pointer)
                rebased = rebase(seen, manifest)
                if rebased is None:
                    return Published(Standing.PASSED, manifest, seen)
                manifest = rebased
            entry = self._entry(manifest)
            swap = self.latest.swap(
                seen, self._advance(pointer, entry, condemned, swept), publishes=entry.checkpoint
            )
            seen = swap.seen
            if swap.won and seen.pointer is not None and seen.pointer.target.checkpoint == entry.checkpoint:
                return Published(Standing.TARGET, manifest, seen)
            rebased = rebase(seen, manifest)
            if swap.won and rebased in (manifest, None):
                return Published(Standing.HISTORY, manifest, seen)
            if rebased is None:
                return Published(Standing.PASSED, manifest, seen)
            manifest = rebased
            backoff(self.clock, tried)
        raise ConflictError(
            f"LATEST was moved by others each of the {TRIES} times we tried", key=self.latest.url
        )

    def may_be_swept(self, pointer: Pointer, manifest: Manifest) -> bool:
        """Whether a sweep may have deleted a checkpoint of ours, which LATEST does not name.

        It was named, and let go since; or all that is named is ours and newer, so that it counted as
        an orphan; or it is gone already.
        """
        named = pointer.retained
        is_passed = named and all(self._is_in_own_home(t) and t.seq > manifest.seq for t in named)
        if is_passed or self._entry(manifest).checkpoint in pointer.doomed:
            return True
        try:
            self.store.read(manifest_key(self.node.home, manifest.checkpoint_id))
        except NotFoundError:
            return True
        return False

    def _rebuilt(self, manifest: Manifest) -> Pointer:
        """What listings tell where LATEST is absent or damaged, our new checkpoint aside.

        The next few attempts are looked at as well: a zombie must find its fence again.
        """
        homes = (*self.node.later_homes(), *self.node.own_homes())
        stock = take_stock(self.store, self.node.root, homes, self.node.lineage)
        ours = self._entry(manifest).checkpoint
        found = [target for target in stock if target.checkpoint != ours]
        if found:
            log.warning(
                "rebuilt the history of %s from %d committed checkpoints", self.latest.url, len(found)
            )
        return Pointer(
            target=found[0] if found else Target(checkpoint=FRESH),
            history=tuple(found[1:]),
            fence=max((target.attempt for target in found), default=-1),
        )

    def _entry(self, manifest: Manifest) -> Target:
        score = self.retention.score(manifest.metadata)
        return describe(self.node.root, self.node.home, manifest, score=score)

    def _is_in_own_home(self, target: Target) -> bool:
        return target.checkpoint.startswith(f"{self.node.root.ref(self.node.home)}/")

    def _is_ahead(self, pointer: Pointer, entry: Target) -> bool:
        """Whether the target of LATEST is a newer checkpoint of our own incarnation."""
        is_siblings = self._is_in_own_home(pointer.target)
        is_siblings = is_siblings and not self.latest.fence.is_of_another_incarnation(pointer)
        return is_siblings and pointer.target.seq > entry.seq

    def _advance(
        self, pointer: Pointer, entry: Target, condemned: Iterable[str], swept: Iterable[str]
    ) -> Pointer:
        """LATEST with `entry` published: pure, but for `retention` and `node` which are constants."""
        swept = frozenset(swept)
        before = [target for target in pointer.retained if target.checkpoint not in swept]
        named = [entry, *before]
        if pointer.target in before[:1] and self._is_ahead(pointer, entry):
            named[:2] = [pointer.target, entry]  # a sibling of this attempt is ahead, and stays the target
        kept, gone = self.retention.split(named)
        names = {target.checkpoint for target in kept}
        let_go = [target.checkpoint for target in gone if self.node.owns(target.checkpoint)]
        doomed = dict.fromkeys((*let_go, *pointer.doomed, *condemned))
        for reference in (*names, *swept):
            doomed.pop(reference, None)
        return Pointer(
            target=kept[0],
            history=tuple(kept[1:]),
            doomed=tuple(doomed)[:DOOMED_LIMIT],
            fence=self.node.attempt,
            incarnation=self.latest.fence.marked_on(pointer),
        )
