"""What is below a root, from listings alone: the nodes, and what each home holds.

A listing may have millions of objects. None of them is kept: each is counted for its node, or for the
checkpoint that uploaded it.

    <base>/_ckptptr/<project>/<domain>/<execution>/<node>/LATEST       a node
    <base>/<shard>/.../_flytecheckpoints/{manifests,data}/...          a home

In Flyte 2 each action has a root of its own, with `_ckptptr` and homes: `<bucket>/<shard>/<base of the run>`.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from ckptptr.errors import StoreUnavailableError
from ckptptr.inspect.many import in_parallel
from ckptptr.nodes.flyte_homes import Home
from ckptptr.nodes.flyte_paths import HOME, SHARDS, UID_LIMITS, NodePrefix
from ckptptr.nodes.plain import EMPTY_IN_A_ROW
from ckptptr.protocol.names import (
    DATA,
    LATEST,
    MANIFESTS,
    NODES,
    CheckpointId,
    round_and_nonce,
    split_manifest_key,
)
from ckptptr.stores.port import Entry, HasStream, Store
from ckptptr.stores.wrappers.around import unwrap

_TELL_EVERY = 1000
_HASHED_ATTEMPTS = 100
"""How many homes are computed of a node whose homes may have hashed names."""


@dataclass(slots=True)
class Count:
    """How many objects, their bytes, and when the newest of them was written: seconds since 1970.

    `newest` is infinite if the store does not say it of each of them.
    """

    objects: int = 0
    bytes: int = 0
    newest: float = 0.0

    def add(self, entry: Entry) -> None:
        self.objects += 1
        self.bytes += entry.size
        self.newest = max(self.newest, entry.modified or float("inf"))

    def __iadd__(self, other: Count) -> Count:
        self.objects += other.objects
        self.bytes += other.bytes
        self.newest = max(self.newest, other.newest)
        return self


@dataclass(slots=True)
class FoundNode:
    """A node: LATEST, None where there is none, and what is beside it."""

    prefix: str
    others: Count = field(default_factory=Count)
    latest: Entry | None = None

    @property
    def names(self) -> list[str]:
        """Project, domain, execution, node."""
        return self.prefix.split("/")[-4:]

    @property
    def all(self) -> Count:
        found = dataclasses.replace(self.others)
        if self.latest:
            found.add(self.latest)
        return found

    @property
    def root(self) -> str:
        return self.prefix.rpartition(f"/{NODES}/")[0]


@dataclass(slots=True)
class FoundHome:
    """A home: all in it, and the payload by the checkpoint that uploaded it.

    `committed`: the checkpoints that have a manifest, with its size. `sets`: by nonce the records of
    checkpoints that several writers share.
    """

    key: str
    all: Count = field(default_factory=Count)
    uploads: dict[str, Count] = field(default_factory=dict)
    sets: dict[str, Count] = field(default_factory=dict)
    committed: dict[str, int] = field(default_factory=dict)
    pinned: set[str] = field(default_factory=set)

    def add(self, inside: str, entry: Entry) -> None:
        self.all.add(entry)
        kind, _, below = inside.partition("/")
        name, _, path = below.partition("/")
        if kind == DATA and path:
            if of_a_set := round_and_nonce(self.key, entry.key):
                self.sets.setdefault(of_a_set[1], Count()).add(entry)
            elif name in self.uploads or CheckpointId.match(name):
                self.uploads.setdefault(name, Count()).add(entry)
        elif kind == MANIFESTS and not path:
            stem, _, ending = name.rpartition(".")
            if ending == "json" and CheckpointId.match(stem):
                self.committed[stem] = entry.size
            elif ending == "pin" and CheckpointId.match(stem):
                self.pinned.add(stem)

    def of_set(self, name: str) -> Count:
        """The records of the set that a checkpoint is; of none where one process has made it."""
        return self.sets.get(CheckpointId.parse(name).nonce, Count())

    def named_by(self, references: Iterable[str], root: str) -> set[str]:
        """The checkpoints in it that these references of a LATEST name."""
        places = (split_manifest_key(f"{root}/{reference}") for reference in references)
        return {str(place[1]) for place in places if place and place[0] == self.key}


@dataclass(slots=True)
class Survey:
    """What listings told: the nodes by their prefix, the homes by the folder that they are in."""

    nodes: dict[str, FoundNode] = field(default_factory=dict)
    homes: dict[str, FoundHome] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        home, mark, inside = entry.key.partition(_IN_HOME)
        if mark:
            if home not in self.homes:
                self.homes[home] = FoundHome(f"{home}/{HOME}")
            self.homes[home].add(inside, entry)
            return
        root, mark, inside = entry.key.partition(_IN_NODES)
        names = inside.split("/")
        if mark and len(names) == _IN_NODE:
            prefix = f"{root}/{NODES}/{'/'.join(names[:-1])}"
            node = self.nodes.setdefault(prefix, FoundNode(prefix))
            if names[-1] == LATEST:
                node.latest = entry
            else:
                node.others.add(entry)


_IN_HOME, _IN_NODES = f"/{HOME}/", f"/{NODES}/"
_IN_NODE = 5  # project, domain, execution, node, and an object


def survey(
    store: Store,
    folders: Iterable[str],
    tell: Callable[[int], object] = lambda _: None,
    *,
    is_proof: bool = False,
) -> Survey:
    """Count what is in these folders, in parallel.

    Args:
        tell: called from any thread with how many more objects were listed.
        is_proof: by `Store.list`, which proves that a folder is empty: before a deletion.

    Raises: as `Store.list`.
    """
    found = Survey()
    lock = threading.Lock()

    def list_one(folder: str) -> None:
        part = _counted(store.list(folder), tell) if is_proof else _listed(store, folder, tell)
        with lock:
            found.nodes |= part.nodes
            found.homes |= part.homes

    in_parallel(list_one, folders)
    return found


def _listed(store: Store, folder: str, tell: Callable[[int], object]) -> Survey:
    stream = unwrap(store, HasStream)
    if stream is not None:
        try:
            return _counted(stream.stream(folder), tell)
        except StoreUnavailableError:
            pass  # once more, patiently
    return _counted(store.list(folder), tell)


def _counted(entries: Iterator[Entry], tell: Callable[[int], object]) -> Survey:
    part = Survey()
    while some := [*itertools.islice(entries, _TELL_EVERY)]:
        for entry in some:
            part.add(entry)
        tell(len(some))
    return part


def everywhere(base: str, *, flyte_2: bool = False) -> list[str]:
    """The folders of a raw-output base that Flyte puts nodes and homes in.

    Flyte 2 puts the shard after the bucket, and the base of the run after that; on a disk the shard may be
    anywhere in the path.
    """
    if not flyte_2:
        return [f"{base}/{NODES}", *(f"{base}/{shard}" for shard in SHARDS)]
    first, *rest = base.split("/")
    places = range(1) if first else range(len(rest) + 1)
    return ["/".join((first, *rest[:at], shard, *rest[at:])) for at in places for shard in SHARDS]


def folders_of(prefix: str, fence: int) -> list[str]:
    """The folders that hold the homes of a node: as many as attempts that may have left something."""
    node = NodePrefix.parse(prefix)
    if node is None:
        return []
    attempts = range(max(fence, 0) + EMPTY_IN_A_ROW + 1)
    return [*node.folders] or [home for attempt in attempts for home in node.homes_of(attempt)]


class Owners:
    """Which nodes a home belongs to: more than one only where two executions have one name."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._by_folder: dict[str, list[NodePrefix]] = {}
        self._by_stem: dict[str, list[NodePrefix]] = {}
        self._nodes = [node for node in map(NodePrefix.parse, prefixes) if node]
        for node in self._nodes:
            for folder in node.folders:
                self._by_folder.setdefault(folder, []).append(node)
            self._by_stem.setdefault(f"{node.execution}-{node.node}", []).append(node)

    def of(self, home: str) -> list[str]:
        """The prefixes of its nodes; proven by Flyte's arithmetic."""
        folder, _, _ = home.removesuffix(f"/{HOME}").rpartition("/")
        if folder in self._by_folder:
            return [node.prefix for node in self._by_folder[folder]]
        parsed = Home.parse(home)
        if parsed is None:
            return []
        stem, _, attempt = parsed.uid.rpartition("-")
        if attempt.isdecimal():
            likely = self._by_stem.get(stem, [])
            return [node.prefix for node in likely if parsed.place(node, int(attempt))]
        return self._hashed.get(home, []) if parsed.is_hashed else []

    @cached_property
    def _hashed(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        limit = min(UID_LIMITS) - len(str(_HASHED_ATTEMPTS))
        for node in self._nodes:
            if len(f"{node.execution}-{node.node}-") > limit:
                for home in itertools.chain(*map(node.homes_of, range(_HASHED_ATTEMPTS))):
                    found.setdefault(home, []).append(node.prefix)
        return found
