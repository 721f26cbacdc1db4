"""A whole execution as the target: its nodes, the worst first, and each map task as one row.

A small node is examined as if it were the target. Of a map task with many indices only each LATEST is read:
they are listed with their sizes, so that the fast lane of the store can fetch them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any, TypeVar

from ckptptr.clock import Clock, SystemClock
from ckptptr.errors import UnsupportedFormatError
from ckptptr.inspect.quick import Glance, Quick
from ckptptr.inspect.target import Here, SeveralNodesError, author, locate, patient_store
from ckptptr.nodes.plain import node_at
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.protocol.names import latest_key
from ckptptr.stores.port import Store
from ckptptr.stores.wrappers.probe import with_known_guarantee
from ckptptr.transfer.pool import run_all

FEW = 20
"""Up to this many indices of a map task are examined one by one."""
WORKERS = 32

_INDEX = re.compile(r"(?P<parent>.+?-[0-9]+-n|.+_[0-9]+_i)(?P<index>[0-9]+)")

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Row:
    """One node, or several that are alike: the indices of a map task. `name`: `n0`, `n1-0-n*`."""

    name: str
    prefixes: tuple[str, ...]

    @property
    def is_map_task(self) -> bool:
        return self.name.endswith("*")


@dataclass(frozen=True)
class Execution:
    """The nodes of one execution that have a LATEST.

    `patient`: the store; `sizes`: of each LATEST; `options`: the filesystem's.
    """

    patient: Store
    sizes: Mapping[str, int]
    key: str
    prefixes: tuple[str, ...]
    clock: Clock
    options: Mapping[str, Any]

    @property
    def url(self) -> str:
        return self.store.url(self.key)

    @cached_property
    def store(self) -> Quick:
        """It reads each LATEST fast."""
        return Quick(self.patient, self.sizes)

    @cached_property
    def rows(self) -> list[Row]:
        """The indices of a map task are one row."""

        def family(prefix: str) -> str:
            name = prefix.rpartition("/")[2]
            found = _INDEX.fullmatch(name)
            return f"{found['parent']}*" if found else name

        families = sorted((family(prefix), prefix) for prefix in self.prefixes)
        rows = []
        for name, group in groupby(families, key=lambda pair: pair[0]):
            prefixes = sorted((prefix for _, prefix in group), key=lambda prefix: (len(prefix), prefix))
            own_name = prefixes[0].rpartition("/")[2]
            rows.append(Row(name if len(prefixes) > 1 else own_name, tuple(prefixes)))
        return rows

    def here(self, prefix: str) -> Here:
        """One node, as a command on it sees it."""
        return locate(self.store.url(prefix), storage_options=self.options)

    def glance(self, prefix: str) -> tuple[Here, Seen]:
        """One node and its LATEST, to look at what that lists: later attempts are not searched for."""
        seen = self.seen(prefix)
        return self._here(Glance(self.store), prefix, seen), seen

    def fresh(self, prefix: str) -> Here:
        """One node, as it is now, to change it."""
        latest = Latest(self._writable, prefix, self.clock, author(self.clock))
        here = self._here(Quick(self._writable, {}), prefix, latest.read())
        return replace(here, latest=latest)

    def _here(self, store: Store, prefix: str, seen: Seen) -> Here:
        node = node_at(store, prefix, attempt=max(seen.fence, 0) + 1, read_only=True)
        latest = Latest(store, prefix, self.clock, author="")
        return Here(store, node, self.clock, latest, (), self.store, self.options)

    @cached_property
    def _writable(self) -> Store:
        """After one probe for all nodes."""
        return with_known_guarantee(self.patient, self.prefixes[0], self.clock)

    def seen(self, prefix: str) -> Seen:
        """LATEST of a node. One of a newer format counts as damaged."""
        try:
            return self.store.latest(prefix, self.clock)
        except UnsupportedFormatError as error:
            return Seen(damage=f"{error.message}. {error.hint}")


def execution_of(error: SeveralNodesError, options: Mapping[str, Any]) -> Execution | None:
    """The execution that TARGET is; None where it is above several."""
    above = {prefix.rpartition("/")[0] for prefix in error.sizes}
    if len(above) != 1:
        return None
    (key,) = above
    clock = SystemClock()
    store, _ = patient_store(error.key, options, clock)
    sizes = {latest_key(prefix): size for prefix, size in error.sizes.items()}
    return Execution(store, sizes, key, tuple(error.sizes), clock, options)


def in_parallel(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """`work` on each node: each waits for the store most of the time."""
    return run_all(work, items, workers=WORKERS)
