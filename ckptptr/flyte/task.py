"""From what flytekit knows in a pod to the checkpoints of its node."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import msgspec
from flytekit.core.checkpointer import SyncCheckpoint
from flytekit.core.context_manager import ExecutionParameters, FlyteContextManager

from ckptptr.checkpoints import Checkpoints
from ckptptr.clock import SystemClock
from ckptptr.flyte.handed_on import hand_on, handed_on
from ckptptr.flyte.identity import FlyteIdentity, identify
from ckptptr.flyte.origins import origins_of
from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint
from ckptptr.nodes.plain import node_at, root_at
from ckptptr.protocol.manifest import Lineage
from ckptptr.protocol.node import Node
from ckptptr.protocol.retention import Retention
from ckptptr.session.cohort import Cohort, incarnation
from ckptptr.session.session import Session
from ckptptr.settings import KEEP_BEST, KEEP_EVERY, KEEP_LAST, check_all
from ckptptr.stores.open import open_store
from ckptptr.stores.port import Store
from ckptptr.stores.wrappers.probe import with_known_guarantee

log = logging.getLogger("ckptptr")


def in_flyte(parameters: ExecutionParameters, stock: SyncCheckpoint) -> PointerCheckpoint | None:
    """The checkpoint of a pod; None in a local run.

    Raises:
        UnidentifiedError: it is unknown which node this is.
        SettingError: an environment variable has a value that cannot be understood.
        InvalidArgumentError: its checkpoints are in a place that this version cannot open.
    """
    output_prefix = parameters.output_metadata_prefix
    identity = identify(
        checkpoint_path=stock._checkpoint_dest,
        prev_checkpoint=stock._checkpoint_src,
        output_prefix=output_prefix or handed_on(os.environ, checkpoint_path=stock._checkpoint_dest),
        environ=os.environ,
    )
    if identity is None:
        return None
    if output_prefix:
        hand_on(os.environ, checkpoint_path=stock._checkpoint_dest, output_prefix=output_prefix)
    if not identity.verified:
        log.warning(
            "ckptptr does not know this layout of Flyte's paths; it reads only LATEST, the own home and "
            "--prev-checkpoint: %s",
            identity.why_not,
        )
    check_all(os.environ)
    # Now, not when first needed: the flytekit context is a ContextVar, which is empty in a thread that saves;
    # and stock flytekit may still open a place that we cannot.
    files = FlyteContextManager.current_context().file_access
    filesystem = files.get_filesystem_for_path(identity.home)
    metadata, retention = _metadata(files), retention_of(os.environ)

    def store_here() -> Store:
        return open_store(identity.home, filesystem=filesystem, metadata=metadata, root=identity.root)[0]

    node, alone = node_of(identity, store_here()), SystemClock().token(12)

    def opening() -> Checkpoints:
        # A forked worker cannot use what its parent had opened.
        store = with_known_guarantee(store_here(), node.prefix, SystemClock())
        ranks = incarnation(os.environ)
        session = Session(store, node, retention=retention, incarnation=alone if ranks is None else ranks)
        return Checkpoints(session, ranks=Cohort.of)

    return PointerCheckpoint(stock._checkpoint_dest, stock._checkpoint_src, opening)


def locally(stock: SyncCheckpoint) -> PointerCheckpoint:
    """The checkpoint of a local run, in the temporary folder that flytekit made for it."""
    where = str(stock._checkpoint_dest)
    log.info("a local run: checkpoints are saved in %s", where)

    def opening() -> Checkpoints:
        store, key = open_store(where)
        return Checkpoints(Session(store, node_at(store, key, attempt=0, read_only=False)))

    return PointerCheckpoint(where, stock._checkpoint_src, opening)


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


def _metadata(files: Any) -> dict[str, str]:
    """The metadata that flytekit attaches to its uploads, unless its setting turns that off."""
    attached = getattr(files, "_execution_metadata", None) or {}
    return {key: value for key, value in attached.items() if value}


def retention_of(environ: Mapping[str, str]) -> Retention:
    """What `CKPTPTR_KEEP_LAST`, `CKPTPTR_KEEP_EVERY` and `CKPTPTR_KEEP_BEST` say."""
    last, every, best = KEEP_LAST.read(environ), KEEP_EVERY.read(environ), KEEP_BEST.read(environ)
    if best is None:
        return Retention(keep_last=last, keep_every=every)
    return Retention(last, every, best.how_many, best.metric, best.lower_is_better)
