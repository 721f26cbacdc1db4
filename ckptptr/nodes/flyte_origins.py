"""Where a task without a checkpoint of its own begins, in this order:

1. the execution that it was recovered from (recover mode hands its last home to attempt 0);
2. earlier attempts of its parent: Flyte gives every child another id when its parent is retried;
3. the seed that `CKPTPTR_SEED` names.

**Parents.** An index of a map task continues from the same index under the previous attempt of the map
task: the list of inputs is the same. For other children nothing says that `dn0` is `dn0` again. They need
`CKPTPTR_ACROSS_PARENT_RETRIES=1`, and a checkpoint that was recorded for the same task and version. The same
holds for an index whose map task is a child of something that was retried. Every level is searched, the
innermost first, since that one ran last. It is unknown which attempts the levels below a retried one had
reached: the first few are tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice, product
from typing import NamedTuple

import msgspec

from ckptptr.nodes.flyte_homes import Home
from ckptptr.nodes.flyte_identity import FlyteIdentity
from ckptptr.nodes.flyte_paths import NodePrefix, is_lineage, lineage_node, node_uid
from ckptptr.nodes.plain import root_at
from ckptptr.nodes.seed import homes_before, seed_of
from ckptptr.protocol.manifest import Lineage, Manifest
from ckptptr.protocol.node import HomesOf, Origin, walk_before
from ckptptr.settings import ACROSS_PARENT_RETRIES, SEED
from ckptptr.stores.port import Store

_BELOW = 3
"""How many attempts are tried for each level between a retried parent and the node."""
_MOST = 30
"""How many earlier nodes are searched at most."""


def origins_of(
    identity: FlyteIdentity, lineage: Lineage, store: Store, environ: Mapping[str, str]
) -> tuple[Origin, ...]:
    """All of them, the first choice first. Sends no request.

    Raises:
        InvalidArgumentError: the recovered execution is in another store.
    """
    root = root_at(store, identity.key(identity.root))
    return (
        *_recovered(identity, store),
        *_before_parent_retries(identity, lineage, environ),
        *seed_of(store, root, SEED.read(environ)),
    )


def _recovered(identity: FlyteIdentity, store: Store) -> Iterator[Origin]:
    recovered = identity.recovered
    if recovered is None:
        return
    if recovered.node is not None:
        yield _of_execution(identity, store, recovered.node, recovered.home, recovered.attempt or 0)
        return

    parsed = Home.parse(recovered.home)

    def learn(manifest: Manifest) -> Origin | None:
        """Flyte hashed the path of the home. The manifest says who saved there; the path proves it."""
        there = manifest.lineage
        unplaced = replace(
            _place_of(identity),
            project=there.project,
            domain=there.domain,
            execution=there.execution,
            node=node_uid(there.node) if is_lineage(there.node) else "",
        )
        node = parsed.place(unplaced, manifest.attempt) if parsed else None
        return _of_execution(identity, store, node, recovered.home, manifest.attempt) if node else None

    home = identity.key(recovered.home)
    yield Origin(what="another execution", homes=lambda *_: (home,), learn=learn)


def _of_execution(identity: FlyteIdentity, store: Store, node: NodePrefix, home: str, attempt: int) -> Origin:
    before = (earlier for number in walk_before(attempt) for earlier in node.homes_of(number))
    homes = tuple(dict.fromkeys(map(identity.key, (home, *before))))
    return Origin(
        what=f"execution {node.execution}",
        homes=lambda *_: homes,
        prefix=identity.key(node.prefix),
        root=root_at(store, identity.key(node.root)),
    )


def _before_parent_retries(
    identity: FlyteIdentity, lineage: Lineage, environ: Mapping[str, str]
) -> Iterator[Origin]:
    if not (identity.verified and identity.lineage):
        return
    is_opted_in = ACROSS_PARENT_RETRIES.read(environ)
    for earlier in islice(earlier_lineages(identity.lineage), _MOST):
        is_same_input = identity.is_index and earlier.levels_up == 1
        if not (is_same_input or (is_opted_in and lineage.task and lineage.version)):
            continue
        uid = lineage_node(earlier.lineage, is_array=identity.is_array)
        node = replace(_place_of(identity), node=uid)
        yield Origin(
            what=f"the previous attempt of the parent ({earlier.lineage})",
            homes=homes_before(_in_keys(identity, node.homes_of)),
            prefix=identity.key(node.prefix),
            lineage=msgspec.structs.replace(
                lineage,
                node=earlier.lineage,
                version=msgspec.UNSET if is_same_input else lineage.version,
            ),
        )


class Earlier(NamedTuple):
    """What a node was called under an earlier attempt of the parent that many levels up."""

    lineage: str
    levels_up: int


def earlier_lineages(lineage: str) -> Iterator[Earlier]:
    """The names of a node before its parents were retried, the nearest first.

    `n2/1/n0/1/n3`: `n2/1/n0/0/n3`, then `n2/0/n0/2/n3`, `n2/0/n0/1/n3`, `n2/0/n0/0/n3`.
    """
    parts = lineage.split("/")
    levels = range(len(parts) - 2, 0, -2)
    for up, place in enumerate(levels, start=1):
        for attempt in range(int(parts[place]) - 1, -1, -1):
            for below in product(range(_BELOW - 1, -1, -1), repeat=up - 1):
                attempts = dict(zip(range(place + 2, len(parts), 2), below, strict=True))
                changed = {place: attempt, **attempts}
                yield Earlier("/".join(str(changed.get(at, part)) for at, part in enumerate(parts)), up)


def _place_of(identity: FlyteIdentity) -> NodePrefix:
    """The place of the node, without what only this attempt knows."""
    return NodePrefix(
        root=identity.root,
        project=identity.project,
        domain=identity.domain,
        execution=identity.execution,
        node=identity.node,
        infix=identity.infix,
        uid_limits=identity.uid_limits,
    )


def _in_keys(identity: FlyteIdentity, homes_of: HomesOf) -> HomesOf:
    return lambda attempt: tuple(map(identity.key, homes_of(attempt)))
