"""`ckptptr.open(url)`: checkpoints without Flyte."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ckptptr.checkpoints import Checkpoints
from ckptptr.clock import SystemClock
from ckptptr.nodes.plain import node_at
from ckptptr.nodes.seed import seed_of
from ckptptr.protocol.retention import Retention
from ckptptr.session.session import Session
from ckptptr.stores.open import open_store
from ckptptr.stores.wrappers.probe import with_known_guarantee
from ckptptr.stores.wrappers.retry import Retrying


def open(
    url: str | os.PathLike[str],
    *,
    attempt: int | None = None,
    retention: Retention | None = None,
    read_only: bool = False,
    seed: str = "",
    storage_options: Mapping[str, Any] | None = None,
    filesystem: Any = None,
) -> Checkpoints:
    """The checkpoints at a URL, without Flyte. `LATEST` is there, and the homes are below `attempts/`.

    Args:
        url: `s3://bucket/run-42`, or a local path, also a `pathlib.Path`. A node prefix of Flyte
            (`.../_ckptptr/...`) can be opened read-only.
        attempt: the number of this attempt, from 0. An attempt that has saved stops those with a lower
            number. Without it, the next free number is claimed on the store.
        retention: which checkpoints to keep; the last three by default.
        read_only: never write: for evaluation.
        seed: where to begin while nothing has been saved here: the node prefix of another run, a
            checkpoint, or a folder, anywhere in the same kind of store. It must exist when it is needed. A
            relative path is relative to `url`.
        storage_options: for the fsspec filesystem of the URL's scheme.
        filesystem: an fsspec filesystem to use as it is, with its credentials.

    Raises:
        InvalidArgumentError: the URL, the scheme, the attempt or an environment variable makes no sense.
        StoreUnavailableError: the store did not answer.
        LocalMachineError: this machine starts no more threads, and the store needs one.
        ConflictError: others claimed every attempt number that was tried.
    """
    store, key = open_store(url, filesystem=filesystem, storage_options=storage_options)
    if not read_only:
        store = with_known_guarantee(store, key, SystemClock())
    patient = Retrying(store, SystemClock())
    node = node_at(patient, key, attempt=attempt, read_only=read_only)
    node = replace(node, origins=seed_of(patient, node.root, seed))
    return Checkpoints(Session(store, node, retention=retention), read_only=read_only)
