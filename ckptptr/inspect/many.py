"""Many nodes of one store: each is read, looked at or changed with few requests, and many at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

from ckptptr.clock import Clock
from ckptptr.errors import CkptptrError, UnsupportedFormatError
from ckptptr.inspect.quick import Glance, Quick
from ckptptr.inspect.target import Here, author, locate
from ckptptr.nodes.plain import node_at
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.protocol.listed import Listed
from ckptptr.protocol.resolve import Resolver
from ckptptr.stores.port import Store
from ckptptr.stores.wrappers.probe import with_known_guarantee
from ckptptr.transfer.pool import run_all

WORKERS = 32

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_Many = TypeVar("_Many", bound="Many")


@dataclass(frozen=True, kw_only=True)
class Many:
    """`patient`: the store. `options`: the filesystem's."""

    patient: Store
    clock: Clock
    options: Mapping[str, Any]

    @cached_property
    def store(self) -> Quick:
        """It reads fast what was listed."""
        return Quick(self.patient)

    def here(self, prefix: str) -> Here:
        """One node, as a command on it sees it."""
        return locate(self.store.url(prefix), storage_options=self.options)

    def glance(self, prefix: str, seen: Seen | None = None) -> tuple[Here, Seen]:
        """One node and its LATEST, to look at what that lists: later attempts are not searched for.

        Args:
            seen: LATEST, if it was read.
        """
        seen = seen or self.seen(prefix)
        return self._here(Glance(self.store), prefix, seen), seen

    def is_followed(self, prefix: str, seen: Seen) -> bool:
        """Whether a restore simply takes what LATEST says; with few requests."""
        here, _ = self.glance(prefix, seen)
        try:
            resolution = Resolver(here.candidates, here.latest).resolve(Listed(here.store), seen)
        except CkptptrError:
            return False  # `explain` says why
        is_asked_for = seen.pointer is not None and seen.pointer.target.is_fresh
        return not resolution.rejected and (resolution.found is not None or is_asked_for)

    def seen(self, prefix: str) -> Seen:
        """LATEST of a node. One of a newer format counts as damaged."""
        return _or_damaged(lambda: self.store.latest(prefix, self.clock))

    def seen_now(self, prefix: str) -> Seen:
        """The same by a read that proves it, before a deletion."""
        return _or_damaged(Latest(self.patient, prefix, self.clock, author="").read)

    def for_writing(self: _Many, prefix: str) -> _Many:
        """The same, after one probe for all nodes: does a custom endpoint support conditional writes?"""
        return replace(self, patient=with_known_guarantee(self.patient, prefix, self.clock))

    def fresh(self, prefix: str, attempt: int = 0) -> Here:
        """One node, as it is now, to change it.

        Args:
            attempt: that is known, if LATEST does not know it.
        """
        latest = Latest(self.patient, prefix, self.clock, author(self.clock))
        return replace(self._here(Quick(self.patient), prefix, latest.read(), attempt), latest=latest)

    def _here(self, store: Store, prefix: str, seen: Seen, attempt: int = 0) -> Here:
        node = node_at(store, prefix, attempt=max(seen.fence, attempt) + 1, read_only=True)
        latest = Latest(store, prefix, self.clock, author="")
        return Here(store, node, self.clock, latest, (), self.patient, self.options)


def _or_damaged(read: Callable[[], Seen]) -> Seen:
    try:
        return read()
    except UnsupportedFormatError as error:
        return Seen(damage=f"{error.message}. {error.hint}")


def in_parallel(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """`work` on each node: each waits for the store most of the time."""
    return run_all(work, items, workers=WORKERS)
