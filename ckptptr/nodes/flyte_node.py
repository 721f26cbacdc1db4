"""From who a pod is to the node that it reads and writes."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from ckptptr.nodes.flyte_identity import FlyteIdentity
from ckptptr.nodes.flyte_origins import origins_of
from ckptptr.nodes.plain import root_at
from ckptptr.protocol.manifest import Lineage
from ckptptr.protocol.node import Node
from ckptptr.stores.port import Store


def node_of(identity: FlyteIdentity, store: Store, environ: Mapping[str, str] = os.environ) -> Node:
    """The identity, in keys of the store."""

    def homes_of(attempt: int) -> tuple[str, ...]:
        return tuple(map(identity.key, identity.homes_of(attempt)))

    lineage = Lineage(
        project=identity.project,
        domain=identity.domain,
        execution=identity.execution,
        node=identity.lineage,
        task=identity.task,
        version=identity.version or msgspec.UNSET,
    )
    previous = identity.previous if identity.recovered is None else None
    return Node(
        root=root_at(store, identity.key(identity.root)),
        prefix=identity.key(identity.prefix),
        attempt=identity.attempt,
        home=identity.key(identity.home),
        homes_of=homes_of,
        previous=identity.key(previous) if previous else None,
        origins=origins_of(identity, lineage, store, environ),
        lineage=lineage,
    )
