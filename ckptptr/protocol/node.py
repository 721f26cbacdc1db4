"""One execution node: the place of its LATEST, its own home, and the homes to walk back through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ckptptr.protocol.manifest import Lineage
from ckptptr.protocol.names import latest_key
from ckptptr.protocol.references import Root

LOOK_AHEAD = 3
"""How many attempts after our own are looked at where LATEST is gone and a fence must be found anew."""

HomesOf = Callable[[int], tuple[str, ...]]
"""The homes that an attempt may have had; more than one where Flyte's arithmetic leaves a doubt, none
where the layout is not known."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Another execution that this one was recovered from. Read, never written, never swept.

    Args:
        homes: the home that Flyte named and those of the attempts before it, nearest first.
        prefix: its node prefix, where it is known.
        root: what the references in its LATEST are relative to; our own root where it is not given.
    """

    homes: tuple[str, ...]
    prefix: str | None = None
    root: Root | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """Where one attempt of one execution node reads and writes. All places are keys.

    Args:
        root: what references are relative to.
        prefix: the node prefix, independent of the attempt; LATEST is below it.
        attempt: our own, the fence.
        home: our own.
        homes_of: the homes of any attempt of this node.
        previous: the home that the platform named as the one before, whatever it is.
        origin: set when `previous` belongs to another execution.
        lineage: whose work this is.
    """

    root: Root
    prefix: str
    attempt: int
    home: str
    homes_of: HomesOf = field(default=lambda _: ())
    previous: str | None = None
    origin: Origin | None = None
    lineage: Lineage = Lineage()

    @property
    def latest(self) -> str:
        return latest_key(self.prefix)

    def earlier_homes(self) -> Iterator[str]:
        """The homes to walk back through, nearest first; not our own, none twice."""
        seen = {self.home}
        named = (self.previous,) if self.previous and self.origin is None else ()
        computed = (home for attempt in range(self.attempt - 1, -1, -1) for home in self.homes_of(attempt))
        for home in (*named, *computed):
            if home not in seen:
                seen.add(home)
                yield home

    def own_homes(self) -> tuple[str, ...]:
        """The homes whose checkpoints are this node's to list and to sweep, our own first."""
        earlier = (home for attempt in range(self.attempt - 1, -1, -1) for home in self.homes_of(attempt))
        return tuple(dict.fromkeys((self.home, *earlier)))

    def later_homes(self) -> tuple[str, ...]:
        """The homes of the next few attempts, which a zombie must look at when LATEST is gone."""
        return tuple(home for step in range(LOOK_AHEAD) for home in self.homes_of(self.attempt + 1 + step))

    def owns(self, reference: str) -> bool:
        """Whether retention may ever delete what `reference` names: a checkpoint in a home of this node."""
        found = self.root.manifest_at(reference)
        return found is not None and found.home in self.own_homes()
