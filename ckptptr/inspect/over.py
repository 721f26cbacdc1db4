"""Executions that are over: nothing of them has moved for some time. What `clean` deletes of each.

The store's clock counts: when LATEST and each object of the homes were written. Where a store does not tell
that of some object, the execution counts as moving.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import NamedTuple

from ckptptr.errors import ConflictError, DamagedError, InvalidArgumentError, UnsupportedFormatError
from ckptptr.inspect.base import Base, Tell
from ckptptr.inspect.many import in_parallel
from ckptptr.inspect.survey import Count, FoundHome, FoundNode, Owners, folders_of, survey
from ckptptr.inspect.usage import freed
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.protocol.clean import Cleaner, is_begun, is_moved_by_clean
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.names import CheckpointId, manifest_key
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.references import FRESH, AtManifest, InFolder, Root
from ckptptr.stores.port import Store
from ckptptr.stores.urls import split
from ckptptr.stores.wrappers.around import Around

_BATCH = 1000

NOTHING_LEFT = "nothing is left but what stays"


class Names(NamedTuple):
    """Of an execution."""

    project: str
    domain: str
    execution: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be deleted.

    Attributes:
        before: seconds since 1970; what was written later counts as moving.
        keep_latest: the target of each LATEST stays.
        named: the manifests, homes and folders that any LATEST of the base names, and by which nodes.
        moved: when any LATEST of an execution was written last.
        shared: the homes that may be of several nodes.
    """

    before: float
    keep_latest: bool
    named: Mapping[str, set[str]]
    moved: Mapping[Names, float]
    shared: set[str] = field(default_factory=set)


class NodeState(NamedTuple):
    """A node, its LATEST, and its homes."""

    node: FoundNode
    seen: Seen
    homes: Sequence[FoundHome]


@dataclass(slots=True)
class Leaving:
    """What goes of one node. `keep`: references of what stays, the newest first."""

    prefix: str
    homes: Sequence[FoundHome]
    keep: Sequence[str] = ()
    checkpoints: int = 0
    all: Count = field(default_factory=Count)


@dataclass(slots=True)
class Over:
    """An execution. `newest`: when anything of it was written last. `is_moving`: that was lately.
    `why_not`: why nothing of it is deleted; "" if something is."""

    names: Names
    newest: float
    is_moving: bool
    why_not: str
    nodes: list[Leaving]


def names_of(prefix: str) -> Names:
    return Names(*prefix.split("/")[-4:-1])


def look(base: Base, before: float, *, keep_latest: bool, tell: Tell) -> list[Over]:
    """The executions below a base, those that moved last first.

    Raises:
        NothingThereError: there is none.
    """
    everywhere, seen = _all_nodes(base, tell)
    rules = _rules(base, everywhere, seen, before, keep_latest=keep_latest)
    inside = f"{base.inside}/" if base.inside else ""
    nodes = [node for prefix, node in everywhere.items() if f"{prefix}/".startswith(inside)]
    if not nodes:
        base.nodes(tell)  # says that there is none
    still = [node.prefix for node in nodes if rules.moved[names_of(node.prefix)] < before]
    homes = base.homes({prefix: seen[prefix] for prefix in still}, tell) if still else {}
    by_node = _by_node(everywhere, homes.values(), rules.shared)
    found = [_weigh(base, _states(group, seen, by_node), rules) for group in _executions(nodes)]
    return sorted(found, key=lambda over: -over.newest)


def rules_now(base: Base, before: float, *, keep_latest: bool) -> Rules:
    """What may be deleted by what each LATEST of the base says now."""
    return _rules(base, *_all_nodes(base, lambda _: None), before, keep_latest=keep_latest)


def _all_nodes(base: Base, tell: Tell) -> tuple[Mapping[str, FoundNode], Mapping[str, Seen]]:
    """All nodes of the base, also beside the part that is meant, and their LATEST."""
    nodes = replace(base, inside="").nodes(tell).nodes
    return nodes, dict(zip(nodes, in_parallel(base.seen, nodes), strict=True))


def delete(base: Base, over: Over, rules: Rules, tell: Tell) -> Over:
    """Look at an execution once more, and delete what goes of it.

    Args:
        base: for writing, see `Many.for_writing`.
        tell: called from any thread with how many more objects were deleted.

    Returns:
        What was found this time; `why_not` says why nothing, or not all, was deleted.

    Raises: as the store.
    """
    prefixes = [leaving.prefix for leaving in over.nodes]
    seen = dict(zip(prefixes, in_parallel(base.seen_now, prefixes), strict=True))
    folders = {folder for prefix in prefixes for folder in folders_of(prefix, seen[prefix].fence)}
    known = {home.key for leaving in over.nodes for home in leaving.homes}
    folders |= {key for key in known if not any(f"{key}/".startswith(f"{folder}/") for folder in folders)}
    folders |= {prefix.rpartition("/")[0] for prefix in prefixes}  # of the execution: it may have new nodes
    found = survey(base.patient, folders, is_proof=True)
    by_node = _by_node(prefixes, found.homes.values(), rules.shared)
    nodes = [found.nodes[prefix] for prefix in prefixes if prefix in found.nodes and seen[prefix].token]
    if not nodes:  # another clean was faster
        return replace(over, nodes=[])
    now = _weigh(base, _states(nodes, seen, by_node), rules)
    others = {prefix for prefix, node in found.nodes.items() if node.latest} - {*prefixes}
    is_new = others or rules.moved.get(over.names, 0.0) >= rules.before
    if now.is_moving or now.why_not or is_new:
        return replace(now, why_not=now.why_not or "it began to move meanwhile")
    counting = replace(base, patient=_Counting(base.patient, tell))
    problems = in_parallel(lambda leaving: _delete(counting, leaving, seen[leaving.prefix]), now.nodes)
    return replace(now, why_not="; ".join(filter(None, problems)))


def _delete(base: Base, leaving: Leaving, seen: Seen) -> str:
    """What went wrong."""
    if seen.pointer is None:
        return "LATEST is gone"
    ids = [CheckpointId.parse(name) for home in leaving.homes for name in (*home.uploads, *home.committed)]
    here = base.fresh(leaving.prefix, max((checkpoint.attempt for checkpoint in ids), default=0))
    cleaner = Cleaner(here.store, here.node, here.latest, [home.key for home in leaving.homes])
    try:
        cleaner.clean(seen, seen.pointer, leaving.keep)
    except (ConflictError, DamagedError, UnsupportedFormatError, InvalidArgumentError) as error:
        return f"{leaving.prefix.rpartition('/')[2]}: {error.message}"
    return ""


class _Counting(Around):
    """Tells how many objects are deleted."""

    def __init__(self, store: Store, tell: Tell) -> None:
        super().__init__(store)
        self._tell = tell

    def delete(self, keys: Iterable[str]) -> None:
        left = iter(keys)
        while some := [*islice(left, _BATCH)]:
            self._store.delete(some)
            self._tell(len(some))


def _executions(nodes: Iterable[FoundNode]) -> list[list[FoundNode]]:
    groups: dict[Names, list[FoundNode]] = {}
    for node in nodes:
        groups.setdefault(names_of(node.prefix), []).append(node)
    return [*groups.values()]


def _by_node(
    prefixes: Iterable[str], homes: Iterable[FoundHome], shared: set[str]
) -> dict[str, list[FoundHome]]:
    """The homes of each node. One that may be of several nodes is one of each, and told in `shared`."""
    owners = Owners(prefixes)
    found: dict[str, list[FoundHome]] = {}
    for home in homes:
        of_home = owners.of(home.key)
        if len(of_home) > 1:
            shared.add(home.key)
        for prefix in of_home:
            found.setdefault(prefix, []).append(home)
    return found


def _rules(
    base: Base,
    nodes: Mapping[str, FoundNode],
    seen: Mapping[str, Seen],
    before: float,
    *,
    keep_latest: bool,
) -> Rules:
    groups = _executions(nodes.values())
    moved = {names_of(g[0].prefix): max(_moved_at(node, seen[node.prefix]) for node in g) for g in groups}
    return Rules(before, keep_latest, _named(base, seen), moved)


def _is_computed(node: FoundNode, home: FoundHome) -> bool:
    """Whether a node outside its attempts knows this home for its own; also one with nothing of ours."""
    parsed = NodePrefix.parse(node.prefix)
    attempts = {CheckpointId.parse(name).attempt for name in (*home.uploads, *home.committed)}
    return not attempts or (parsed is not None and any(home.key in parsed.homes_of(n) for n in attempts))


def _moved_at(node: FoundNode, seen: Seen) -> float:
    """When LATEST was written, but not by a clean."""
    if node.latest is None or is_moved_by_clean(seen):
        return 0.0
    return node.latest.modified or float("inf")


def _states(
    nodes: Iterable[FoundNode], seen: Mapping[str, Seen], homes: Mapping[str, Sequence[FoundHome]]
) -> list[NodeState]:
    return [NodeState(node, seen[node.prefix], homes.get(node.prefix, ())) for node in nodes]


def _weigh(base: Base, parts: Sequence[NodeState], rules: Rules) -> Over:
    names = names_of(parts[0].node.prefix)
    newest = max(
        max(_moved_at(node, seen), node.others.newest, *(home.all.newest for home in homes), 0.0)
        for node, seen, homes in parts
    )
    if newest >= rules.before:
        return Over(names, newest, True, "", [])
    for part in parts:
        why = _why_not(base, part, rules)
        if why:
            return Over(names, newest, False, f"{part.node.names[-1]}: {why}", [])
    nodes = [_leaving(base, part, rules) for part in parts]
    is_something = any(leaving.all.objects for leaving in nodes)
    return Over(names, newest, False, "" if is_something else NOTHING_LEFT, nodes)


def _why_not(base: Base, part: NodeState, rules: Rules) -> str:
    node, seen, homes = part
    if seen.pointer is None:
        return seen.damage or "LATEST is gone"
    if seen.is_held and not is_begun(seen):
        return "LATEST is held"
    if any(home.key in rules.shared for home in homes):
        return "a node of another project has the same home"
    if not all(_is_computed(node, home) for home in homes) or not (
        homes or is_begun(seen) or not seen.pointer.retained
    ):
        return "its homes are not where Flyte puts them"
    if rules.keep_latest and not seen.pointer.target.is_fresh and not base.is_followed(node.prefix, seen):
        return "what LATEST names cannot be restored"
    return ""


def _leaving(base: Base, part: NodeState, rules: Rules) -> Leaving:
    node, seen, homes = part
    pointer = seen.pointer or Pointer(target=Target(checkpoint=FRESH))
    # A clean that keeps something was interrupted, or is over: an attempt may follow LATEST since.
    is_lately = node.latest is None or not 0 < node.latest.modified < rules.before
    is_finish = is_lately and is_moved_by_clean(seen) and not seen.is_held
    keep = {target.checkpoint for target in pointer.retained if target.pinned or is_finish}
    if rules.keep_latest and not pointer.target.is_fresh:
        keep.add(pointer.target.checkpoint)
    leaving = Leaving(node.prefix, homes)
    root = _root(base, node.prefix)
    for home in homes:
        there = {*home.uploads, *home.committed}
        stay = there & (home.pinned | home.named_by(keep, node.root) | _named_by_others(rules, node, home))
        keep |= {root.ref(manifest_key(home.key, CheckpointId.parse(name))) for name in stay}
        manifests = [size for name, size in home.committed.items() if name not in stay]
        leaving.checkpoints += len(manifests)
        leaving.all += freed(base.store, home, there - stay)
        leaving.all += Count(len(manifests), sum(manifests))
    leaving.keep = sorted(keep, key=_age, reverse=True)
    if not keep and node.latest:
        leaving.all.add(node.latest)
    return leaving


def _named_by_others(rules: Rules, node: FoundNode, home: FoundHome) -> set[str]:
    """The checkpoints of a home that the LATEST of another node names; all, if it names the home."""
    there = {*home.uploads, *home.committed}
    keys = {name: manifest_key(home.key, CheckpointId.parse(name)) for name in there}
    is_home_named = bool(rules.named.get(home.key, set()) - {node.prefix})
    return {
        name for name, key in keys.items() if is_home_named or rules.named.get(key, set()) - {node.prefix}
    }


def _age(reference: str) -> tuple[int, int, str]:
    checkpoint = CheckpointId.match(reference.rpartition("/")[2].removesuffix(".json"))
    return checkpoint.age if checkpoint else (-1, -1, "")


def _root(base: Base, prefix: str) -> Root:
    return Root(split(base.store.url(base.key)).scheme, FoundNode(prefix).root)


def _named(base: Base, seen: Mapping[str, Seen]) -> dict[str, set[str]]:
    """What each LATEST names: the keys of manifests, homes and folders, and by which nodes."""
    found: dict[str, set[str]] = {}
    for prefix, each in seen.items():
        root = _root(base, prefix)
        for target in each.pointer.retained if each.pointer else ():
            try:
                named = root.parse(target.checkpoint)
            except InvalidArgumentError:
                continue
            if isinstance(named, AtManifest):
                found.setdefault(manifest_key(named.home, named.id), set()).add(prefix)
            elif isinstance(named, InFolder):
                found.setdefault(named.folder, set()).add(prefix)
    return found
