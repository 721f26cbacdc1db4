"""A local run: outside Flyte, but with the settings of a task."""

from __future__ import annotations

import os
from dataclasses import replace

from ckptptr.checkpoints import Checkpoints
from ckptptr.nodes.plain import node_at
from ckptptr.nodes.seed import seed_of
from ckptptr.protocol.retention import retention_of
from ckptptr.session.session import Session
from ckptptr.settings import SEED
from ckptptr.stores.open import open_store


def open_locally(folder: str, *, attempt: int | None, seed: str = "") -> Checkpoints:
    """The checkpoints of a local run, in a folder.

    Args:
        attempt: as in `ckptptr.open`.
        seed: where to begin, in place of `CKPTPTR_SEED`.

    Raises: as `ckptptr.open`.
    """
    store, key = open_store(folder)
    node = node_at(store, key, attempt=attempt, read_only=False)
    origins = seed_of(store, node.root, seed or SEED.read())
    return Checkpoints(Session(store, replace(node, origins=origins), retention=retention_of(os.environ)))
