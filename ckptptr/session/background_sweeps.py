"""When a run deletes: the sweeps that a save starts in the background (`protocol.sweep` is what deletes).

A publish lists what expired; the publish after it starts its deletion. What this process began and did not
publish is an orphan, and the next publish lists it too. While a person holds LATEST nothing can be listed:
then the run deletes its own older checkpoints that no LATEST ever named, and sets of parts of which there are
newer ones: before that, another rank may build on one.

A sweep sends more requests than a save. So at most one sweep waits, and it deletes all that came up until it
begins: saves without a pause leave no backlog.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from ckptptr.events import Name
from ckptptr.lifetime.forks import renew_in_child
from ckptptr.protocol.forward import saved_by
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.pointer import Target
from ckptptr.protocol.publish import Published, Standing
from ckptptr.protocol.sweep import delete_unpublished, deleted_before, search, sweep
from ckptptr.session.content import Content
from ckptptr.session.session import Session
from ckptptr.stores.port import Token

NEAREST = 10
"""Where no one listing tells all homes, a run looks for orphans in those of the attempts since the last that
saved what LATEST named, and of this many before. One that only copied it forward has not searched."""


class BackgroundSweeps:
    """The sweeps of one session. References are as in LATEST.

    `orphans` are for the next publish to list as expired. `deleted` is what it must not name or list any
    more: what was deleted since the last one, and what is another node's.

    A sweep never waits for the lock of the session: a save may hang while it holds that, and the end of the
    process waits for sweeps without a deadline.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._published = 0
        self._last: Target | None = None
        self._beside_hold: list[str] = []
        self._sets_beside_hold: list[str] = []
        self._held_at: Token | None = None
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Know of no save that has begun: in a fork it is the parent's, and no orphan."""
        self._lock = threading.Lock()
        self._queued: set[Callable[[], None]] = set()
        self._to_sweep: set[str] = set()
        self._unpublished: list[str] = []
        self.orphans: tuple[str, ...] = ()
        self.deleted: tuple[str, ...] = ()
        self._handed_out: frozenset[str] = frozenset()
        self._begun: set[str] = set()
        self._under_way: set[str] = set()

    def look(self, seen: Seen) -> None:
        """LATEST, before the first publish: what earlier runs deleted need not be listed any more."""
        if not (self._published or seen.is_held):
            self.deleted = deleted_before(self._session.store, self._session.node, seen)

    def hand_out(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """`orphans` and `deleted`, for a publish. What is found from now on is for the next one."""
        with self._lock:
            self._handed_out = frozenset((*self.orphans, *self.deleted))
            return self.orphans, self.deleted

    def begin(self, reference: str) -> None:
        """This process alone is going to upload a checkpoint. It is an orphan if it is not published."""
        self._begun.add(reference)

    def is_safe(self, content: Content, seen: Seen) -> bool:
        """Whether no sweep may delete the files of that checkpoint.

        LATEST names it, or it is what we committed last beside this very LATEST, which a person holds. A set
        of parts may be deleted by another rank then. What a person wrote may be written twice, and others may
        have gone on in between: so the checkpoint has to be there.
        """
        pointer, reference = seen.pointer, content.reference
        is_named = pointer is not None and pointer.find(reference) is not None
        is_our_last = reference in self._beside_hold[-1:] and seen.token == self._held_at
        if content.is_at_risk or not (is_named or is_our_last):
            return False
        return pointer is None or not pointer.edited or self._session.publisher.is_committed(reference)

    def release(self, reference: str, before: Seen, published: Published) -> None:
        """Start to delete what a save made superfluous.

        Args:
            reference: of the checkpoint that was saved.
            before: LATEST as the save found it.
        """
        is_ours_alone = reference in self._begun
        if published.standing is not Standing.PASSED:
            self._begun.discard(reference)
        if published.standing is Standing.HELD:
            self._held_at = published.seen.token
            self._release_beside_hold(
                reference, self._beside_hold if is_ours_alone else self._sets_beside_hold
            )
            return
        self._beside_hold.clear()
        self._sets_beside_hold.clear()
        if published.standing is Standing.PASSED:
            return
        with self._lock:
            self.orphans = (*sorted(self._begun), *self._since(self.orphans))
            self.deleted = self._since(self.deleted)
            expired_before = {*before.expired} - self._under_way
            self._under_way &= {*published.seen.expired}  # what is no longer listed will not come again
            self._under_way |= expired_before
            self._to_sweep |= expired_before
        self._begun.clear()
        if expired_before:
            self._queue("sweep", self._sweep)
        if self._published % self._session.search_every == 0:
            self._last = before.pointer.target if before.pointer else None
            self._queue("orphan-search", self._find_orphans)
        self._published += 1

    def _since(self, found: Iterable[str]) -> tuple[str, ...]:
        return tuple(reference for reference in found if reference not in self._handed_out)

    def _queue(self, name: Name, work: Callable[[], None]) -> None:
        """Do it in the background; not if the same waits there already."""
        with self._lock:
            if work in self._queued:
                return
            self._queued.add(work)

        def begin() -> None:
            with self._lock:
                self._queued.discard(work)
            work()

        self._session.background.run(name, begin)

    def _release_beside_hold(self, reference: str, committed: list[str]) -> None:
        """LATEST is held by a person: of what we commit beside it, keep as many as retention would."""
        session = self._session
        if reference not in committed:  # a set that is saved again is the same set
            committed.append(reference)
        excess = committed[: -session.retention.keep_last]
        if excess:
            del committed[: len(excess)]
            with self._lock:
                self._unpublished += excess
            self._queue("sweep", self._delete_unpublished)

    def _delete_unpublished(self) -> None:
        session = self._session
        with self._lock:
            unpublished, self._unpublished = self._unpublished, []
        delete_unpublished(session.store, session.node, session.latest, unpublished)

    def _sweep(self) -> None:
        session, deleted = self._session, set[str]()
        with self._lock:
            expired_before, self._to_sweep = self._to_sweep, set()
        try:
            deleted.update(sweep(session.store, session.node, session.latest, sorted(expired_before)))
        finally:
            with self._lock:
                self.deleted += tuple(deleted)
                self._under_way -= expired_before - deleted

    def _find_orphans(self) -> None:
        session = self._session
        round_ = session.latest.fence.incarnation
        since, last = 0, self._last
        if last is not None and last.attempt > NEAREST:
            since = max(saved_by(session.store, session.node, last) - NEAREST, 0)
        seen = session.latest.read()
        found = search(session.store, session.node, seen, round_=round_, since=since)
        with self._lock:
            self.orphans += found.orphans
            self.deleted += found.others
