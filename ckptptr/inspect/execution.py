"""A whole execution as the target: its nodes, the worst first, and each map task as one row.

A small node is examined as if it were the target. Of a map task with many indices only each LATEST is read:
they are listed with their sizes, so that the fast lane of the store can fetch them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, TypeVar

from ckptptr.clock import Clock, SystemClock
from ckptptr.errors import DamagedError, UnsupportedFormatError
from ckptptr.inspect.target import Here, SeveralNodesError, locate, patient_store
from ckptptr.nodes.plain import node_at
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.protocol.names import latest_key
from ckptptr.stores.port import Store, Token
from ckptptr.stores.wrappers.around import Around
from ckptptr.transfer.pool import run_all

FEW = 20
"""Up to this many indices of a map task are examined one by one."""
WORKERS = 32

_INDEX = re.compile(r"(?P<parent>.+?-[0-9]+-n|.+_[0-9]+_i)(?P<index>[0-9]+)")

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class KnownSizes(Around):
    """A store that reads objects of a listing by `download`, which is faster. It tells no version of them."""

    def __init__(self, store: Store, sizes: Mapping[str, int]) -> None:
        super().__init__(store)
        self._sizes = sizes

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        size = self._sizes.get(key)
        if size and (limit is None or size <= limit):
            try:
                return b"".join(self._store.download(key, 0, size)), Token("")
            except DamagedError:
                pass  # it was written again, and is shorter now
        return self._store.read(key, limit)


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

    `store` reads their LATEST fast. `options`: the filesystem's. `arguments`: the options that another
    command needs to reach it.
    """

    store: KnownSizes
    key: str
    prefixes: tuple[str, ...]
    clock: Clock
    options: Mapping[str, Any]

    @property
    def url(self) -> str:
        return self.store.url(self.key)

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
        node = node_at(self.store, prefix, attempt=max(seen.fence, 0) + 1, read_only=True)
        latest = Latest(self.store, prefix, self.clock, author="")
        return Here(self.store, node, self.clock, latest, (), self.store, self.options), seen

    def seen(self, prefix: str) -> Seen:
        """LATEST of a node. One of a newer format counts as damaged."""
        try:
            return Latest(self.store, prefix, self.clock, author="").read()
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
    return Execution(KnownSizes(store, sizes), key, tuple(error.sizes), clock, options)


def in_parallel(work: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """`work` on each node: each waits for the store most of the time."""
    return run_all(work, items, workers=WORKERS)
