"""What this process lets go of, and when: the sweep's side of a save.

What a publish dooms is deleted one publish later, in the background; what was begun and came to
nothing is doomed by the next publish; while a person holds LATEST, our own older checkpoints go.
"""

from __future__ import annotations

import logging

from ckptptr.protocol.latest import Seen
from ckptptr.protocol.publish import Published, Standing
from ckptptr.protocol.sweep import drop_held_back, search, sweep
from ckptptr.session.session import Session
from ckptptr.stores.port import Token

log = logging.getLogger("ckptptr")

LISTING_EVERY = 50
"""After how many publishes we look for orphans again; the first one looks too."""


class Sweeping:
    """The sweeps of one session. References are as in LATEST.

    `condemned` is for the next publish to doom, `swept` for it not to name any more: what was doomed and is
    gone now, and what is another node's.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.condemned: tuple[str, ...] = ()
        self.swept: tuple[str, ...] = ()
        self._begun: set[str] = set()
        self._under_way: set[str] = set()
        self._published = 0
        self._kept_back: list[str] = []
        self._held_at: Token | None = None
        self._has_warned = False

    def begin(self, reference: str) -> None:
        """A checkpoint is going to be uploaded. If nothing comes of it, a later publish condemns it."""
        self._begun.add(reference)

    def is_kept_back(self, reference: str, seen: Seen) -> bool:
        """Whether it is what we committed last beside this very LATEST, which a person holds."""
        return reference in self._kept_back[-1:] and seen.token == self._held_at

    def settle(self, reference: str, before: Seen, published: Published) -> None:
        """Let go of what a save made superfluous.

        Args:
            reference: of the checkpoint that was saved.
            before: LATEST as the save found it.
        """
        if published.standing is not Standing.PASSED:
            self._begun.discard(reference)
        if published.standing is Standing.HELD:
            self._keep_back(reference, published.seen)
            return
        self._has_warned = False
        self._kept_back.clear()
        if published.standing is Standing.PASSED:
            return
        self.condemned, self.swept = tuple(sorted(self._begun)), ()
        self._begun.clear()
        background, doomed_before = self._session.background, _doomed(before) - self._under_way
        self._under_way &= _doomed(published.seen)  # what is no longer listed will not come again
        if doomed_before:
            self._under_way |= doomed_before
            background.run("the sweep", lambda: self._sweep(doomed_before))
        if self._published % LISTING_EVERY == 0:
            background.run("the search for orphans", self._find_orphans)
        self._published += 1

    def _keep_back(self, reference: str, seen: Seen) -> None:
        """LATEST is held by a person: keep what we commit, and of that no more than retention would."""
        session = self._session
        if not self._has_warned:
            log.warning(
                "%s is held by a person and stays as it is until a restore takes it up; "
                "this run keeps committing checkpoints beside it",
                session.latest.url,
            )
            self._has_warned = True
        self._held_at = seen.token
        self._kept_back.append(reference)
        excess = self._kept_back[: -session.retention.keep_last]
        if excess:
            del self._kept_back[: len(excess)]

            def drop() -> None:
                drop_held_back(session.store, session.node, session.latest, excess)

            session.background.run("the sweep", drop)

    def _sweep(self, doomed_before: set[str]) -> None:
        session, gone = self._session, set[str]()
        try:
            gone.update(sweep(session.store, session.node, session.latest, sorted(doomed_before)))
        finally:
            with session.lock:
                self.swept += tuple(gone)
                self._under_way -= doomed_before - gone

    def _find_orphans(self) -> None:
        session = self._session
        found = search(session.store, session.node, session.latest.read())
        with session.lock:
            self.condemned += found.orphans
            self.swept += found.others


def _doomed(seen: Seen) -> set[str]:
    return set(seen.pointer.doomed) if seen.pointer else set()
