"""From what flytekit knows in a pod to the checkpoints of its node."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from flytekit.core.checkpointer import SyncCheckpoint
from flytekit.core.context_manager import ExecutionParameters, FlyteContextManager

from ckptptr.checkpoints import Checkpoints
from ckptptr.clock import SystemClock
from ckptptr.errors import InvalidArgumentError
from ckptptr.flyte.identity import FlyteIdentity, identify
from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint
from ckptptr.opening import key_of, node_at, root_at
from ckptptr.protocol.manifest import Lineage
from ckptptr.protocol.node import Node, Origin
from ckptptr.protocol.retention import Retention
from ckptptr.session import Session
from ckptptr.stores import open_store
from ckptptr.stores.port import Store
from ckptptr.stores.probe import settle

log = logging.getLogger("ckptptr")


def in_flyte(parameters: ExecutionParameters, stock: SyncCheckpoint) -> PointerCheckpoint | None:
    """The checkpoint of a pod; None in a local run.

    Raises:
        UnidentifiedError: which node this is cannot be told.
        InvalidArgumentError: its checkpoints are in a place that this version cannot open.
    """
    identity = identify(
        checkpoint_path=stock._checkpoint_dest,
        prev_checkpoint=stock._checkpoint_src,
        output_prefix=parameters.output_metadata_prefix,
        environ=os.environ,
    )
    if identity is None:
        return None
    if not identity.verified:
        log.warning(
            "this is not a layout of Flyte that is known here, so that only LATEST, the own home and "
            "--prev-checkpoint are looked at: %s",
            identity.why_not,
        )
    # Now, not when first needed: the flytekit context is a ContextVar, and a thread that saves would
    # see an empty one; and a place that we cannot open is better left to stock flytekit.
    files = FlyteContextManager.current_context().file_access
    filesystem = files.get_filesystem_for_path(identity.home)
    store, _ = open_store(identity.home, filesystem=filesystem, metadata=_metadata(files))
    node, retention = node_of(identity, store), _retention(os.environ)

    def opening() -> Checkpoints:
        return Checkpoints(Session(settle(store, node.prefix, SystemClock()), node, retention=retention))

    return PointerCheckpoint(stock._checkpoint_dest, stock._checkpoint_src, opening)


def locally(stock: SyncCheckpoint) -> PointerCheckpoint:
    """The checkpoint of a local run: in the temporary folder that flytekit made for it."""
    where = str(stock._checkpoint_dest)
    log.info("a local run: checkpoints are saved in %s", where)

    def opening() -> Checkpoints:
        store, key = open_store(where)
        return Checkpoints(Session(store, node_at(store, key, attempt=0, read_only=False)))

    return PointerCheckpoint(where, stock._checkpoint_src, opening)


def node_of(identity: FlyteIdentity, store: Store) -> Node:
    """The identity, in keys of the store."""

    def homes_of(attempt: int) -> tuple[str, ...]:
        return tuple(key_of(home) for home in identity.homes_of(attempt))

    return Node(
        root=root_at(store, key_of(identity.root)),
        prefix=key_of(identity.prefix),
        attempt=identity.attempt,
        home=key_of(identity.home),
        homes_of=homes_of,
        previous=key_of(identity.previous) if identity.previous else None,
        origin=_origin(identity, store),
        lineage=Lineage(
            project=identity.project,
            domain=identity.domain,
            execution=identity.execution,
            node=identity.lineage,
            task=identity.task,
        ),
    )


def _origin(identity: FlyteIdentity, store: Store) -> Origin | None:
    origin = identity.origin
    if origin is None:
        return None
    before = range((origin.attempt or 0) - 1, -1, -1)
    homes = (origin.home, *(home for attempt in before for home in origin.homes_of(attempt)))
    prefix = key_of(origin.prefix) if origin.prefix else None
    root = root_at(store, key_of(origin.node.root)) if origin.node else None
    return Origin(tuple(dict.fromkeys(key_of(home) for home in homes)), prefix, root)


def _metadata(files: Any) -> dict[str, str]:
    """What flytekit attaches to all that it uploads, unless its setting says not to."""
    attached = getattr(files, "_execution_metadata", None) or {}
    return {key: value for key, value in attached.items() if value}


def _retention(environ: Mapping[str, str]) -> Retention:
    """`CKPTPTR_KEEP_LAST` and `CKPTPTR_KEEP_EVERY`, where a task's code says nothing."""
    last, every = _count(environ, "CKPTPTR_KEEP_LAST"), _count(environ, "CKPTPTR_KEEP_EVERY")
    return Retention(keep_every=every) if last is None else Retention(keep_last=last, keep_every=every)


def _count(environ: Mapping[str, str], name: str) -> int | None:
    value = environ.get(name, "").strip()
    if value and not value.isdigit():
        raise InvalidArgumentError(f"{name} is {value!r}, not a number of checkpoints or steps")
    return int(value) if value else None
