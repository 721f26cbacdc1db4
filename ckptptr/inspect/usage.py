"""What checkpoints take below a root: objects and bytes, what has expired, what is orphaned.

Expired is what LATEST lists so: retention has released it, and a sweep frees it. An orphan is of an attempt
below the fence, and LATEST neither names nor lists it. Both count as far as no other checkpoint needs the
payload. So manifests are read, but only of homes that have such payload.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ckptptr.errors import DamagedError, NotFoundError, UnsupportedFormatError
from ckptptr.inspect.base import Base, Tell
from ckptptr.inspect.many import in_parallel
from ckptptr.inspect.quick import Quick
from ckptptr.inspect.survey import Count, FoundHome, FoundNode, Owners, Survey
from ckptptr.protocol.inventory import read_manifest
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.names import CheckpointId, manifest_key
from ckptptr.stores.port import Entry


@dataclass(slots=True)
class Usage:
    """What some nodes hold. `checkpoints`: how many are committed."""

    nodes: int = 0
    checkpoints: int = 0
    all: Count = field(default_factory=Count)
    expired: Count = field(default_factory=Count)
    orphaned: Count = field(default_factory=Count)

    def __iadd__(self, other: Usage) -> Usage:
        self.nodes += other.nodes
        self.checkpoints += other.checkpoints
        self.all += other.all
        self.expired += other.expired
        self.orphaned += other.orphaned
        return self


def homes_by_node(found: Survey) -> tuple[dict[str, list[FoundHome]], list[FoundHome]]:
    """The homes of each node by its prefix, and those of no node; one of several nodes only for the first."""
    owners = Owners(found.nodes)
    owned: dict[str, list[FoundHome]] = {}
    others = []
    for home in found.homes.values():
        nodes = owners.of(home.key)
        if nodes:
            owned.setdefault(nodes[0], []).append(home)
        else:
            others.append(home)
    return owned, others


def usage_of(base: Base, tell: Tell) -> tuple[dict[str, Usage], list[FoundHome]]:
    """The usage of each node by its prefix, and the homes that belong to no LATEST.

    Args:
        tell: called from any thread with how many more objects were listed.

    Raises:
        NothingThereError: there is no node.
    """
    found = base.everything(tell)
    owned, others = homes_by_node(found)
    nodes = [*found.nodes.values()]
    used = in_parallel(lambda node: _of_node(base, node, owned.get(node.prefix, ())), nodes)
    return dict(zip(found.nodes, used, strict=True)), others if not base.inside else []


def _of_node(base: Base, node: FoundNode, homes: Iterable[FoundHome]) -> Usage:
    usage = Usage(nodes=1)
    usage.all += node.all
    seen = base.seen(node.prefix)
    for home in homes:
        usage.all += home.all
        usage.checkpoints += len(home.committed)
        expired, orphans = _may_go(base.store, node, home, seen)
        usage.expired += expired
        usage.orphaned += orphans
    return usage


def _may_go(store: Quick, node: FoundNode, home: FoundHome, seen: Seen) -> tuple[Count, Count]:
    """What a sweep of a node would free in a home: of what has expired, and of orphans."""
    if seen.pointer is None:
        return Count(), Count()
    expired = home.named_by(seen.pointer.expired, node.root)
    named = home.named_by((target.checkpoint for target in seen.pointer.retained), node.root)
    there = {*home.uploads, *home.committed}
    late = {name for name in there if CheckpointId.parse(name).attempt < seen.fence}
    orphans = late - expired - named - home.pinned
    expired -= home.pinned
    needed = _needed(store, home, expired | orphans)
    if needed is None:
        return Count(), Count()
    return _left(home, expired, needed), _left(home, orphans, needed)


def freed(store: Quick, home: FoundHome, leaving: Collection[str]) -> Count:
    """The payload that goes if these checkpoints of a home do; none where a damaged one may need all."""
    needed = _needed(store, home, leaving)
    return Count() if needed is None else _left(home, leaving, needed)


def _needed(store: Quick, home: FoundHome, leaving: Collection[str]) -> dict[str, Count] | None:
    """By uploader the payload of these that the others need; None where a damaged one may need all."""
    sizes: dict[str, int] = {}
    uploaders = home.uploads.keys() & leaving
    for name in home.committed.keys() - leaving if uploaders else ():
        checkpoint = CheckpointId.parse(name)
        store.learn({manifest_key(home.key, checkpoint): home.committed[name]})
        try:
            manifest = read_manifest(store, home.key, checkpoint)
        except NotFoundError:
            continue
        except (DamagedError, UnsupportedFormatError):
            return None
        sizes |= {
            record.object: record.size
            for record in manifest.files
            if record.object.split("/")[1] in uploaders
        }
    needed: dict[str, Count] = {}
    for place, size in sizes.items():
        needed.setdefault(place.split("/")[1], Count()).add(Entry(place, size))
    return needed


def _left(home: FoundHome, uploaders: Iterable[str], needed: Mapping[str, Count]) -> Count:
    left = Count()
    for name in uploaders:
        uploaded, kept = home.uploads.get(name, Count()), needed.get(name, Count())
        left += Count(uploaded.objects - kept.objects, uploaded.bytes - kept.bytes)
        left += home.of_set(name)
    return left
