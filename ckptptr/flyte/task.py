"""From what flytekit knows in a pod to the checkpoints of its node."""

from __future__ import annotations

import logging
import os
from typing import Any

from flytekit.core.checkpointer import SyncCheckpoint
from flytekit.core.context_manager import ExecutionParameters, FlyteContextManager

from ckptptr.checkpoints import Checkpoints
from ckptptr.clock import SystemClock
from ckptptr.dropin.local_run import open_locally
from ckptptr.flyte.handed_on import hand_on, handed_on
from ckptptr.flyte.identity import identify
from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint
from ckptptr.nodes.flyte_node import node_of
from ckptptr.protocol.retention import retention_of
from ckptptr.session.cohort import Cohort, incarnation
from ckptptr.session.session import Session
from ckptptr.settings import SEED, check_all
from ckptptr.stores.open import open_store
from ckptptr.stores.port import Store
from ckptptr.stores.wrappers.probe import with_known_guarantee

log = logging.getLogger("ckptptr")


def in_flyte(
    parameters: ExecutionParameters, stock: SyncCheckpoint, seed: str = ""
) -> PointerCheckpoint | None:
    """The checkpoint of a pod; None in a local run.

    Args:
        seed: where to begin, in place of `CKPTPTR_SEED`; processes that this one starts inherit it.

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
    if seed:
        os.environ[SEED.name] = seed
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


def locally(stock: SyncCheckpoint, seed: str) -> PointerCheckpoint:
    """The checkpoint of a local run, in the temporary folder that flytekit made for it.

    Args:
        seed: where to begin, in place of `CKPTPTR_SEED`; other tasks of this process do not.

    Raises:
        SettingError: an environment variable has a value that cannot be understood.
    """
    check_all(os.environ)
    where = str(stock._checkpoint_dest)
    log.info("a local run: checkpoints are saved in %s", where)

    def opening() -> Checkpoints:
        return open_locally(where, attempt=0, seed=seed)

    return PointerCheckpoint(where, stock._checkpoint_src, opening, seed)


def _metadata(files: Any) -> dict[str, str]:
    """The metadata that flytekit attaches to its uploads, unless its setting turns that off."""
    attached = getattr(files, "_execution_metadata", None) or {}
    return {key: value for key, value in attached.items() if value}
