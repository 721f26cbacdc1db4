"""`ckptptr.open(url)`: checkpoints without Flyte."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any

from ckptptr.checkpoints import Checkpoints
from ckptptr.clock import SystemClock
from ckptptr.errors import InvalidArgumentError
from ckptptr.logs import log_to_stderr
from ckptptr.nodes.plain import node_at
from ckptptr.nodes.seed import seed_of
from ckptptr.protocol.retention import Retention
from ckptptr.session.cohort import Cohort
from ckptptr.session.session import Session
from ckptptr.settings import LOG
from ckptptr.stores.open import open_store
from ckptptr.stores.wrappers.probe import with_known_guarantee
from ckptptr.stores.wrappers.retry import Retrying

log = logging.getLogger("ckptptr")

_ROUND = re.compile("[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


def open(
    url: str | os.PathLike[str],
    *,
    attempt: int | None = None,
    round: str = "",
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
            number. Without it, the next free number is claimed on the store. The ranks that torchrun starts
            together are one attempt: the first that opens claims its number for all, and all restore the
            same checkpoint.
        round: a token that all ranks of one start share, and no other start; with `attempt`. For launchers
            that ckptptr does not know: of Slurm, the job and its restart count.
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
    if LOG.read() is not None:
        log_to_stderr()
    if round and (attempt is None or not _ROUND.fullmatch(round)):
        raise InvalidArgumentError(
            f"round is {round!r} and attempt is {attempt}",
            hint="Give all ranks the same attempt, and a round of at most 64 letters, digits, dots, _ and -",
        )
    store, key = open_store(url, filesystem=filesystem, storage_options=storage_options)
    if not read_only:
        store = with_known_guarantee(store, key, SystemClock())
    patient = Retrying(store, SystemClock())
    ranks = Cohort() if round or read_only else Cohort.at(store.url(key))
    if ranks.token == "" and attempt is None:
        log.warning(
            "this is one of several ranks, and they cannot agree on one attempt: a rank that opens %s stops "
            "those that opened it before. Open it in one rank only, or give attempt= and round=",
            store.url(key),
        )
    node = node_at(patient, key, attempt=attempt, read_only=read_only, shared=ranks.attempt)
    if ranks.token:
        log.info("one of several ranks: they are attempt %d together", node.attempt)
    node = replace(node, origins=seed_of(patient, node.root, seed))
    session = Session(store, node, retention=retention, incarnation=round or ranks.token or "")
    restores = count(1)
    return Checkpoints(
        session,
        read_only=read_only,
        ranks=lambda: replace(ranks, name=f"{ranks.name}/{next(restores)}"),
    )
