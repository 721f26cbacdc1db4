"""One execution node: the place of its LATEST, its own home, and the homes to walk back through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ckptptr.protocol.manifest import Lineage, Manifest
from ckptptr.protocol.references import AtManifest, Root
from ckptptr.stores.port import Store

LOOK_AHEAD = 3
"""How many attempts after our own are looked at where LATEST is gone and a fence must be found anew."""

HomesOf = Callable[[int], tuple[str, ...]]
"""The homes that an attempt may have had; more than one where Flyte's arithmetic leaves a doubt, none
where the layout is not known."""


HomesThere = Callable[[Store, int], Iterable[str]]
"""Finds the homes of another node, nearest first, given the fence of its LATEST (-1 where it tells none)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a node that has nothing of its own begins: an execution that it was recovered from, the
    previous attempt of its parent, a seed. Only read: nothing there is written or deleted.

    Args:
        what: in words, for the log: "execution 'a1b2'".
        homes: the homes there.
        prefix: the node prefix there, where it is known.
        root: what the references in its LATEST are relative to; our own root where it is not given.
        checkpoint: set where just that one is meant.
        lineage: whose work it must be; with a version in it, a checkpoint must say itself that it is of
            that task and version. None: somebody named it, and it is taken whatever it is.
        learn: the same origin with what a manifest in its homes tells of it, or None; for homes whose
            path tells nothing.
        is_required: where nothing there can be restored, that is an error and no fresh start.
    """

    what: str
    homes: HomesThere = lambda _, __: ()
    prefix: str | None = None
    root: Root | None = None
    checkpoint: AtManifest | None = None
    lineage: Lineage | None = None
    learn: Callable[[Manifest], Origin | None] = lambda _: None
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """Where one attempt of one execution node reads and writes. All places are keys.

    Args:
        root: what references are relative to.
        prefix: the node prefix, independent of the attempt; LATEST is below it.
        attempt: our own, the fence.
        home: our own.
        homes_of: the homes of any attempt of this node.
        previous: the home that the platform named as the one before, whatever it is; not where it is an
            origin.
        origins: where to begin if there is nothing of this node's own, the first choice first.
        lineage: whose work this is.
    """

    root: Root
    prefix: str
    attempt: int
    home: str
    homes_of: HomesOf = field(default=lambda _: ())
    previous: str | None = None
    origins: tuple[Origin, ...] = ()
    lineage: Lineage = Lineage()

    def earlier_homes(self) -> Iterator[str]:
        """The homes to walk back through, nearest first; not our own, none twice."""
        seen = {self.home}
        named = (self.previous,) if self.previous else ()
        computed = (home for attempt in range(self.attempt - 1, -1, -1) for home in self.homes_of(attempt))
        for home in (*named, *computed):
            if home not in seen:
                seen.add(home)
                yield home

    def own_homes(self) -> tuple[str, ...]:
        """The homes whose checkpoints are this node's to list and to delete, our own first."""
        earlier = (home for attempt in range(self.attempt - 1, -1, -1) for home in self.homes_of(attempt))
        return tuple(dict.fromkeys((self.home, *earlier)))

    def later_homes(self) -> tuple[str, ...]:
        """The homes of the next few attempts, which a superseded attempt must look at if LATEST is gone."""
        return tuple(home for step in range(LOOK_AHEAD) for home in self.homes_of(self.attempt + 1 + step))

    def owns(self, reference: str) -> bool:
        """Whether retention may ever delete what `reference` names: a checkpoint in a home of this node."""
        found = self.root.manifest_at(reference)
        return found is not None and found.home in self.own_homes()
