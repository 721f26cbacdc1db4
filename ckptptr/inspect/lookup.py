"""The node prefix for what a person has: a `--checkpoint-path`, or the name of an execution.

The lineage in a manifest names the node, and so does a uid that Flyte did not hash. Otherwise the nodes
that have a LATEST are searched. Each find is proven by Flyte's arithmetic: the computed homes of the
node must include the given one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from ckptptr.errors import DamagedError, NotFoundError
from ckptptr.nodes.flyte_homes import ActionHome, Home
from ckptptr.nodes.flyte_paths import HOME, NodePrefix, is_lineage, node_uid
from ckptptr.protocol.inventory import committed, read_manifest
from ckptptr.protocol.manifest import Lineage
from ckptptr.protocol.names import DATA, LATEST, MANIFESTS, NODES
from ckptptr.stores.port import Store

_ATTEMPTS = 100
"""How many attempts are computed to find the one with a hashed uid."""


def nodes_below(store: Store, folder: str) -> dict[str, int]:
    """The node prefixes of Flyte below a folder that have a LATEST, with its size."""
    entries = (entry for entry in store.list(folder) if entry.key.endswith(f"/{LATEST}"))
    sizes = {entry.key.removesuffix(f"/{LATEST}"): entry.size for entry in entries}
    return {prefix: size for prefix, size in sizes.items() if NodePrefix.parse(prefix)}


def nodes_of_execution(nodes: Iterable[str], name: str, *, is_begun: bool = False) -> list[str]:
    """Of these nodes those that `name` may mean: an execution, perhaps with more of its path.

    Args:
        is_begun: the names in it may be only the beginnings of names.
    """
    wanted = name.strip("/").split("/")

    def matches(path: list[str]) -> bool:
        pairs = zip(path, wanted, strict=False)
        return all(there.startswith(given) if is_begun else there == given for there, given in pairs)

    def is_meant(path: list[str]) -> bool:  # the name contains the execution
        starts = range(max(0, 3 - len(wanted)), min(3, 5 - len(wanted)))
        return any(matches(path[start:]) for start in starts)

    return [prefix for prefix in nodes if is_meant(prefix.split("/")[-4:])]


def near(nodes: Iterable[str], name: str) -> list[str]:
    """Of these nodes those whose execution or own name looks like the last name in `name`."""
    by_name: dict[str, list[str]] = {}
    for prefix in nodes:
        for each in prefix.split("/")[-2:]:
            by_name.setdefault(each, []).append(prefix)
    found = get_close_matches(name.strip("/").rpartition("/")[2], by_name)
    return [*dict.fromkeys(prefix for each in found for prefix in by_name[each])]


def home_alone(store: Store, key: str) -> str | None:
    """The folder with checkpoints of ours that `key` is, or is inside of: a home, wherever it was copied."""
    above = (re.sub(rf"/({MANIFESTS}|{DATA})(/.*)?$", "", key), key)
    return next((folder for folder in dict.fromkeys(above) if committed(store, folder).ids), None)


def home_in(key: str) -> str | None:
    """The home that `key` is, or is inside of."""
    before, marker, _ = f"{key}/".partition(f"/{HOME}/")
    return f"{before}/{HOME}" if marker else None


def nodes_with_home(store: Store, home: str) -> list[str]:
    """The prefixes of the nodes that provably have this home: at most one in practice."""
    action = ActionHome.parse(home)
    if action is not None:
        return _of_action(store, action)
    parsed = Home.parse(home)
    if parsed is None:
        return []
    attempts = _attempts(parsed)
    told = (node for lineage in _lineages(store, home) for node in _told(parsed, lineage))
    proven = [*_having(home, attempts, told)]
    if proven:
        return proven
    listed = filter(None, map(NodePrefix.parse, nodes_below(store, f"{parsed.root}/{NODES}")))
    return [*_having(home, attempts, listed)]


def _of_action(store: Store, home: ActionHome) -> list[str]:
    """The nodes of Flyte 2 with this home. Its path tells not the run; a LATEST or a manifest does."""
    top = f"{home.root}/{NODES}"
    told = (f"{top}/{it.project}/{it.domain}/{it.execution}/{home.node}" for it in _lineages(store, home.url))
    known = (*nodes_below(store, top), *told)
    nodes = (node for node in map(NodePrefix.parse, known) if node and node.node == home.node)
    return [*_having(home.url, (home.attempt,), nodes)]


def _attempts(home: Home) -> Iterable[int]:
    """The attempts that may have this home."""
    if home.array:
        return (home.array[1],)
    number = home.uid.rpartition("-")[2]
    return range(_ATTEMPTS) if home.is_hashed or not number.isdecimal() else (int(number),)


def _lineages(store: Store, home: str) -> Iterator[Lineage]:
    for checkpoint in committed(store, home).ids:
        try:
            yield read_manifest(store, home, checkpoint).lineage
        except (NotFoundError, DamagedError):
            continue
        return


def _told(home: Home, lineage: Lineage) -> Iterator[NodePrefix]:
    names = []
    if is_lineage(lineage.node):
        names.append(node_uid(lineage.node))
    read = re.fullmatch(rf"{re.escape(lineage.execution)}-(.+)-[0-9]+", home.uid)
    names += [read[1]] if read else []
    for name in names if lineage.project and lineage.domain and lineage.execution else ():
        yield NodePrefix(
            root=home.root,
            project=lineage.project,
            domain=lineage.domain,
            execution=lineage.execution,
            node=name,
        )


def _having(home: str, attempts: Iterable[int], nodes: Iterable[NodePrefix]) -> Iterator[str]:
    found = (node for node in nodes if any(home in node.homes_of(attempt) for attempt in attempts))
    return iter(dict.fromkeys(node.prefix for node in found))
