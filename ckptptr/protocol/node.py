"""One execution node: the place of its LATEST, its own home, and the homes to walk back through."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from ckptptr.protocol.manifest import Lineage, Manifest
from ckptptr.protocol.names import NUMERAL
from ckptptr.protocol.references import AtManifest, Root
from ckptptr.stores.port import Store

LOOK_AHEAD = 3
"""How many attempts after our own are looked at where LATEST is gone and a fence must be found anew."""

NEAR = 3
"""How many attempts before our own are looked at by arithmetic, where a listing tells all of them."""
WALK = 500
"""Where no listing tells which attempts left anything: how many are looked at, the nearest and the first."""
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

    An attempt may have any number: a date, for example. So homes are not enumerated from 0 on: see
    `attempts_before`.

    Args:
        root: what references are relative to.
        prefix: the node prefix, independent of the attempt; LATEST is below it.
        attempt: our own, the fence.
        home: our own.
        homes_of: the homes of any attempt of this node.
        folder: holds the homes of all attempts, each named by its number; "" where they are scattered.
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
    folder: str = ""
    previous: str | None = None
    origins: tuple[Origin, ...] = ()
    lineage: Lineage = Lineage()

    def earlier_homes(self, store: Store) -> Iterator[str]:
        """The homes to walk back through, nearest first; not our own, none twice. Lists only as it must."""
        seen = {self.home}
        named = (self.previous,) if self.previous else ()
        for home in (*named, *self._computed(store)):
            if home not in seen:
                seen.add(home)
                yield home

    def own_homes(self, store: Store, since: int = 0) -> tuple[str, ...]:
        """The homes whose checkpoints are this node's to list and to delete, our own first; without those of
        the attempts before `since`."""
        return tuple(dict.fromkeys((self.home, *self._computed(store, since))))

    def later_homes(self) -> tuple[str, ...]:
        """The homes of the next few attempts, which a superseded attempt must look at if LATEST is gone."""
        return tuple(home for step in range(LOOK_AHEAD) for home in self.homes_of(self.attempt + 1 + step))

    def of_attempts(self, references: Iterable[str]) -> list[AtManifest]:
        """Those in the home of the attempt that their id names, be it a later one than our own."""
        places = filter(None, map(self.root.manifest_at, references))
        return [place for place in places if place.home in self.homes_of(place.id.attempt)]

    def owns(self, reference: str) -> bool:
        """Whether retention may ever delete what `reference` names: a checkpoint in a home of this node."""
        found = self.root.manifest_at(reference)
        return found is not None and self.is_own_home(found.home, likely=found.id.attempt)

    def is_own_home(self, home: str, *, likely: int = -1) -> bool:
        """Whether its checkpoints are this node's to list and to delete."""
        return self.attempt_of(home, likely=likely) is not None

    def attempt_of(self, home: str, *, likely: int = -1) -> int | None:
        """Whose home it is, ours or an earlier attempt's; None for any other. Sends no request.

        Args:
            likely: looked at first.
        """
        if home == self.home:
            return self.attempt
        if self.folder:
            named = _number(home.removeprefix(f"{self.folder}/"))
            candidates: Iterable[int] = () if named is None else (named,)
        else:
            candidates = chain((likely,), walk_before(self.attempt))
        return next((n for n in candidates if 0 <= n < self.attempt and home in self.homes_of(n)), None)

    def _computed(self, store: Store, since: int = 0) -> Iterator[str]:
        attempts = attempts_before(store, self.attempt, self.folder)
        return (home for attempt in attempts if attempt >= since for home in self.homes_of(attempt))


def attempts_before(store: Store, attempt: int, folder: str = "") -> Iterator[int]:
    """The earlier attempts that may have left something, nearest first.

    Of homes in one folder the nearest few are not asked for: a walk-back mostly ends there. Then one listing
    tells the others that left anything, however many attempts there were. Else as `walk_before`.
    """
    if not folder:
        yield from walk_before(attempt)
        return
    far = max(attempt - NEAR, 0)
    yield from range(attempt - 1, far - 1, -1)
    if far:
        yield from (there for there in attempts_in(store, folder) if there < far)


def attempts_in(store: Store, folder: str) -> list[int]:
    """The attempts that left anything in that folder of homes, newest first: one listing."""
    names = {entry.key[len(folder) + 1 :].partition("/")[0] for entry in store.list(folder)}
    return sorted((n for n in map(_number, names) if n is not None), reverse=True)


def walk_before(attempt: int) -> Iterator[int]:
    """The earlier attempts, nearest first; of more than 2 * `WALK` only the nearest and the first ones."""
    yield from range(attempt - 1, max(attempt - WALK, 0) - 1, -1)
    yield from range(min(WALK, attempt - WALK) - 1, -1, -1)


def _number(name: str) -> int | None:
    """The attempt whose home has that name: only one spelling is a home."""
    return int(name) if re.fullmatch(f"0|{NUMERAL}", name) else None
