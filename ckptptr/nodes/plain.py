"""From a URL to a node, outside Flyte: where LATEST and the homes are, and the number of this attempt."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping

import msgspec

from ckptptr.clock import SystemClock, isoformat
from ckptptr.errors import ConflictError, InvalidArgumentError
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.protocol.inventory import object_at
from ckptptr.protocol.latest import Latest
from ckptptr.protocol.manifest import Lineage
from ckptptr.protocol.names import ATTEMPTS, CLAIMS, DIGITS, NODES, NUMBER_LIMIT
from ckptptr.protocol.node import HomesOf, Node, attempts_in
from ckptptr.protocol.references import Root
from ckptptr.settings import ALLOW_ROOTS, STRICT
from ckptptr.stores.port import GLANCE, Store
from ckptptr.stores.urls import split
from ckptptr.transfer.pool import run_all

_TRIES = 20

EMPTY_IN_A_ROW = 10
"""The search for homes ends after this many attempts in a row that left nothing."""


def root_at(store: Store, base: str, environ: Mapping[str, str] = os.environ) -> Root:
    """The root at a key, with the other roots that people may name (`CKPTPTR_ALLOW_ROOTS`)."""
    scheme, strict = split(store.url(base)).scheme, STRICT.read(environ)
    listed = map(split, () if strict else ALLOW_ROOTS.read(environ))
    allowed = tuple(place.key.rstrip("/") for place in listed if place.scheme == scheme)
    return Root(scheme, base, allowed, strict)


def key_beside(url: str, known: str) -> str:
    """The key of `url`, which must be in the store of `known`: a key does not say which store it is in.

    Raises:
        InvalidArgumentError: it is in another kind of store, or in another account of Azure.
    """
    place, here = split(url), split(known)
    is_same_account = not (place.account and here.account) or place.account == here.account
    if place.scheme != here.scheme or not is_same_account:
        raise InvalidArgumentError(f"this is not in the same store as {known}", key=url)
    return place.key


def node_at(
    store: Store,
    key: str,
    *,
    attempt: int | None,
    read_only: bool,
    shared: Callable[[Callable[[], int]], int] = lambda claim: claim(),
) -> Node:
    """The node whose prefix is `key`.

    Args:
        shared: given what claims an attempt number, the number that all ranks of this process's round use.

    Raises:
        InvalidArgumentError: `attempt` is negative; `key` is inside a node of Flyte, or is one and neither
            `attempt` nor `read_only` is given.
        ConflictError: others claimed every attempt number that was tried.
    """
    if attempt is not None and attempt < 0:
        raise InvalidArgumentError(f"attempt is {attempt}; attempts count from 0")
    if attempt is not None and attempt >= NUMBER_LIMIT:
        raise InvalidArgumentError("attempt is a number of more than 18 digits")
    if f"/{NODES}/" in key:
        return _flyte_node(store, key, attempt=attempt, read_only=read_only)
    if attempt is None:
        attempt = _next_plain_attempt(store, key) if read_only else shared(lambda: _claim(store, key))
    return _plain_node(store, key, attempt)


def _flyte_node(store: Store, key: str, *, attempt: int | None, read_only: bool) -> Node:
    """A node of Flyte, for a process that is not its task: a person's, or an evaluation."""
    found = NodePrefix.parse(key)
    if found is None:
        raise InvalidArgumentError(
            "not a node prefix",
            key=store.url(key),
            hint=f"It looks like <root>/{NODES}/<project>/<domain>/<execution>/<node>",
        )
    if attempt is None and not read_only:
        raise InvalidArgumentError(
            "this node belongs to Flyte tasks",
            key=store.url(key),
            hint="Open it with read_only=True, or give the attempt",
        )
    if attempt is None:
        attempt = _next_attempt(store, key, lambda: highest_attempt(store, found.homes_of))
        attempt = max(attempt, found.first_attempt)
    if attempt < found.first_attempt:
        raise InvalidArgumentError(f"attempt is {attempt}; in Flyte 2 they count from 1", key=store.url(key))
    home, *_ = found.homes_of(attempt)
    lineage = Lineage(project=found.project, domain=found.domain, execution=found.execution)
    return Node(root_at(store, found.root), key, attempt, home, found.homes_of, lineage=lineage)


def highest_attempt(store: Store, homes_of: HomesOf, known: int = -1) -> int:
    """The highest attempt that left anything in its home; `known` if no higher one did.

    LATEST may not know that attempt: it may be deleted, or held since before the attempt began.
    """

    def left_something(attempt: int) -> bool:
        homes = homes_of(attempt)
        below = (entry for home in homes for entry in store.list(home))
        return any(True for _ in below) or any(object_at(store, home) for home in homes)

    while True:
        ahead = range(known + 1, known + 1 + EMPTY_IN_A_ROW)
        found = [attempt for attempt, has in zip(ahead, run_all(left_something, ahead), strict=True) if has]
        if not found:
            return known
        known = max(found)


def _next_attempt(store: Store, key: str, search: Callable[[], int]) -> int:
    """One more than the highest attempt: a process that only reads is none of the attempts.

    Args:
        search: finds the highest attempt by its home. Called if LATEST tells no fence.
    """
    fence = _fence(store, key)
    return (fence if fence >= 0 else search()) + 1


def _fence(store: Store, key: str) -> int:
    """That of LATEST; -1 if it is missing, damaged or edited."""
    return Latest(store, key, SystemClock(), author="").read().fence


def _next_plain_attempt(store: Store, key: str) -> int:
    return _next_attempt(store, key, lambda: highest_plain_attempt(store, key))


def highest_plain_attempt(store: Store, key: str) -> int:
    """The highest attempt outside Flyte that left anything in its home; -1 if none did."""
    return next(iter(attempts_in(store, f"{key}/{ATTEMPTS}")), -1)


def _plain_node(store: Store, key: str, attempt: int) -> Node:
    homes_of = plain_homes(key)
    folder = f"{key}/{ATTEMPTS}"
    return Node(root_at(store, key), key, attempt, homes_of(attempt)[0], homes_of, folder)


def plain_homes(key: str) -> HomesOf:
    """The home of each attempt outside Flyte."""
    return lambda attempt: (f"{key}/{ATTEMPTS}/{attempt}",)


def _claim(store: Store, key: str) -> int:
    """The next free attempt number. An object that only one process can create makes it ours.

    Mostly it is the one after the fence. The claims, of which each attempt leaves one, are listed only where
    that is taken, or where there is no fence.
    """
    clock = SystemClock()
    claim = {"claim": clock.token(12), "pid": os.getpid(), "claimed_at": isoformat(clock.now())}
    body = msgspec.json.encode(claim)

    def is_ours(number: int) -> bool:
        return _is_claimed_by_us(store, f"{key}/{CLAIMS}/{number:04d}", body)

    fence = _fence(store, key)
    if 0 <= fence < NUMBER_LIMIT - 1 and is_ours(fence + 1):
        return fence + 1
    claimed = [entry.key.rpartition("/")[2] for entry in store.list(f"{key}/{CLAIMS}")]
    numbers = (int(name) for name in claimed if re.fullmatch(DIGITS, name))
    highest = max([fence if fence >= 0 else highest_plain_attempt(store, key), *numbers])
    for candidate in range(highest + 1, min(highest + 1 + _TRIES, NUMBER_LIMIT)):
        if is_ours(candidate):
            return candidate
    raise ConflictError(f"{_TRIES} attempt numbers in a row were taken", key=store.url(key))


def _is_claimed_by_us(store: Store, key: str, body: bytes) -> bool:
    try:
        store.create(key, body)
    except ConflictError:
        return store.read(key, GLANCE)[0] == body  # ours, if only the reply was lost
    return True
