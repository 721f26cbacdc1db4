"""A whole execution as the target: its nodes, the worst first, and each map task as one row.

A small node is examined as if it were the target. Of a map task with many indices only each LATEST is read:
they are listed with their sizes, so that the fast lane of the store can fetch them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from ckptptr.clock import SystemClock
from ckptptr.inspect.many import Many
from ckptptr.inspect.target import SeveralNodesError, patient_store
from ckptptr.protocol.names import latest_key

FEW = 20
"""Up to this many indices of a map task are examined one by one."""

_INDEX = re.compile(r"(?P<parent>.+?-[0-9]+-n|.+_[0-9]+_i)(?P<index>[0-9]+)")


@dataclass(frozen=True, slots=True)
class Row:
    """One node, or several that are alike: the indices of a map task. `name`: `n0`, `n1-0-n*`."""

    name: str
    prefixes: tuple[str, ...]

    @property
    def is_map_task(self) -> bool:
        return self.name.endswith("*")


def rows_of(prefixes: Iterable[str]) -> list[Row]:
    """The indices of a map task are one row."""

    def family(prefix: str) -> tuple[str, str]:
        execution, _, name = prefix.rpartition("/")
        found = _INDEX.fullmatch(name)
        return execution, f"{found['parent']}*" if found else name

    families = sorted((*family(prefix), prefix) for prefix in prefixes)
    rows = []
    for (_, name), group in groupby(families, key=lambda each: each[:2]):
        alike = sorted((prefix for *_, prefix in group), key=lambda prefix: (len(prefix), prefix))
        own_name = alike[0].rpartition("/")[2]
        rows.append(Row(name if len(alike) > 1 else own_name, tuple(alike)))
    return rows


@dataclass(frozen=True)
class Execution(Many):
    """The nodes of one execution that have a LATEST."""

    key: str
    prefixes: tuple[str, ...]

    @property
    def url(self) -> str:
        return self.store.url(self.key)

    @cached_property
    def rows(self) -> list[Row]:
        return rows_of(self.prefixes)


def execution_of(error: SeveralNodesError, options: Mapping[str, Any]) -> Execution | None:
    """The execution that TARGET is; None where it is above several."""
    above = {prefix.rpartition("/")[0] for prefix in error.sizes}
    if len(above) != 1:
        return None
    (key,) = above
    clock = SystemClock()
    store, _ = patient_store(error.key, options, clock)
    execution = Execution(patient=store, clock=clock, options=options, key=key, prefixes=tuple(error.sizes))
    execution.store.learn({latest_key(prefix): size for prefix, size in error.sizes.items()})
    return execution
