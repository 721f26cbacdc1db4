"""From a URL to a node, outside Flyte: where LATEST and the homes are, and which attempt we are."""

from __future__ import annotations

import os
from collections.abc import Mapping

import msgspec

from ckptptr.clock import SystemClock, isoformat
from ckptptr.errors import ConflictError, InvalidArgumentError
from ckptptr.flyte.paths import NodePrefix
from ckptptr.protocol.latest import Latest
from ckptptr.protocol.manifest import Lineage
from ckptptr.protocol.node import Node
from ckptptr.protocol.references import Root
from ckptptr.stores.port import Store

ALLOW_ROOTS = "CKPTPTR_ALLOW_ROOTS"

FLYTE_PREFIXES = "_ckptptr"
_CLAIMS = "claims"
_ATTEMPTS = "attempts"
_TRIES = 20


def root_at(store: Store, base: str, environ: Mapping[str, str] = os.environ) -> Root:
    """The root at a key, with the other roots that people may name (`CKPTPTR_ALLOW_ROOTS`, separated
    by commas or blanks)."""
    scheme, separator, _ = store.url(base).partition("://")
    if not separator:
        scheme = "file"
    listed = environ.get(ALLOW_ROOTS, "").replace(",", " ").split()
    return Root(scheme, base, tuple(key_of(entry).rstrip("/") for entry in listed))


def key_of(url: str) -> str:
    """The key in its store that a URL or a local path names."""
    return url.partition("://")[2] or url


def node_at(store: Store, key: str, *, attempt: int | None, read_only: bool) -> Node:
    """The node whose prefix is `key`.

    Raises:
        InvalidArgumentError: the attempt makes no sense, or cannot be claimed there.
    """
    if attempt is not None and attempt < 0:
        raise InvalidArgumentError(f"attempt is {attempt}; attempts count from 0")
    if f"/{FLYTE_PREFIXES}/" in key:
        return _flyte_node(store, key, attempt=attempt, read_only=read_only)
    if attempt is None:
        attempt = _next_attempt(store, key) if read_only else _claim(store, key)
    return _plain_node(store, key, attempt)


def _flyte_node(store: Store, key: str, *, attempt: int | None, read_only: bool) -> Node:
    """A node of Flyte seen from outside its task: by a person, or by an evaluation."""
    found = NodePrefix.parse(key)
    if found is None:
        raise InvalidArgumentError(
            "not a node prefix",
            key=store.url(key),
            hint=f"It looks like <root>/{FLYTE_PREFIXES}/<project>/<domain>/<execution>/<node>",
        )
    if attempt is None and not read_only:
        raise InvalidArgumentError(
            "this node belongs to Flyte tasks",
            key=store.url(key),
            hint="Open it with read_only=True, or say which attempt this is",
        )
    number = _next_attempt(store, key) if attempt is None else attempt
    home, *_ = found.homes_of(number)
    lineage = Lineage(project=found.project, domain=found.domain, execution=found.execution)
    return Node(root_at(store, found.root), key, number, home, found.homes_of, lineage=lineage)


def _next_attempt(store: Store, key: str) -> int:
    """One more than LATEST knows of: whoever only looks is none of the attempts.

    Where LATEST is gone, damaged or edited and so knows of none, the homes that are there tell.
    """
    fence = Latest(store, key, SystemClock(), author="").read().fence
    if fence < 0:
        homes = (entry.key[len(key) + 1 :].split("/")[1] for entry in store.list(f"{key}/{_ATTEMPTS}"))
        fence = max((int(name) for name in homes if name.isdecimal()), default=-1)
    return fence + 1


def _plain_node(store: Store, key: str, attempt: int) -> Node:
    def homes_of(number: int) -> tuple[str, ...]:
        return (f"{key}/{_ATTEMPTS}/{number}",)

    return Node(root_at(store, key), key, attempt, homes_of(attempt)[0], homes_of)


def _claim(store: Store, key: str) -> int:
    """The next free attempt number, made ours by an object that only one of us can create."""
    claimed = [entry.key.rpartition("/")[2] for entry in store.list(f"{key}/{_CLAIMS}")]
    first = max([_next_attempt(store, key), *(int(name) + 1 for name in claimed if name.isdecimal())])
    body = msgspec.json.encode({"pid": os.getpid(), "claimed_at": isoformat(SystemClock().now())})
    for candidate in range(first, first + _TRIES):
        try:
            store.create(f"{key}/{_CLAIMS}/{candidate:04d}", body)
        except ConflictError:
            continue
        return candidate
    raise ConflictError(f"{_TRIES} attempt numbers in a row were taken", key=store.url(key))
