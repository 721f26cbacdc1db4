"""A seed: the checkpoint of another run, which a node begins from while it has no checkpoint of its own.

The person who configures the run names it. So it may be anywhere that the same store reaches: a node prefix,
a checkpoint, a home, a folder of files. A seed that cannot be restored is an error, never a fresh start.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ckptptr.errors import InvalidArgumentError
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.nodes.plain import highest_attempt, plain_homes, root_at
from ckptptr.protocol.names import ATTEMPTS, CLAIMS, LATEST
from ckptptr.protocol.node import HomesOf, HomesThere, Origin, attempts_in, walk_before
from ckptptr.protocol.references import FRESH, AtManifest, InFolder, Root
from ckptptr.stores.port import Store
from ckptptr.stores.urls import split


def seed_of(store: Store, root: Root, text: str) -> tuple[Origin, ...]:
    """The origin that `text` names; empty for an empty text or `none`. Sends no request.

    An impossible `text` is an origin that raises InvalidArgumentError only when it is needed.

    Args:
        root: of the node that is seeded; a relative path is relative to it.
    """
    text = text.strip()
    if not text or text.lower() == FRESH:
        return ()
    what = f"the seed {text}"
    try:
        where = _parse(root, text.rstrip("/").removesuffix(f"/{LATEST}"))
    except InvalidArgumentError as error:
        return (_invalid(what, error),)
    if isinstance(where, AtManifest):
        return (Origin(what=what, checkpoint=where, is_required=True),)
    flyte = NodePrefix.parse(where.folder)
    there = _widest(root_at(store, flyte.root if flyte else where.folder), where.folder)
    homes = homes_before(flyte.homes_of) if flyte else _in_folder(where.folder)
    return (Origin(what=what, homes=homes, prefix=where.folder, root=there, is_required=True),)


def homes_before(homes_of: HomesOf) -> HomesThere:
    """All homes of another node, beginning with the highest attempt that left anything."""

    def homes(store: Store, fence: int) -> Iterable[str]:
        highest = highest_attempt(store, homes_of, fence)
        return (home for attempt in walk_before(highest + 1) for home in homes_of(attempt))

    return homes


def _in_folder(folder: str) -> HomesThere:
    """The homes of a run outside Flyte if the folder is its node prefix; else the folder itself."""

    def homes(store: Store, fence: int) -> Iterable[str]:
        attempts = attempts_in(store, f"{folder}/{ATTEMPTS}")
        if not attempts and fence < 0:
            return () if any(True for _ in store.list(f"{folder}/{CLAIMS}")) else (folder,)
        homes_of = plain_homes(folder)
        return (home for attempt in attempts for home in homes_of(attempt))

    return homes


def _parse(root: Root, text: str) -> AtManifest | InFolder:
    is_absolute = "://" in text or text.startswith("/")
    meant = (_widest(root, split(text).key) if is_absolute else root).parse(text)
    if isinstance(meant, AtManifest | InFolder):
        return meant
    raise InvalidArgumentError("a seed is a place, and no id", key=text, hint="Give its full path or URL")


def _widest(root: Root, key: str) -> Root:
    """The root, which may also name everything in the bucket of `key`, or on the disk."""
    return replace(root, allowed=(*root.allowed, key.partition("/")[0]))


def _invalid(what: str, error: InvalidArgumentError) -> Origin:
    """An origin that raises when it is needed: not while the node has a checkpoint of its own."""

    def homes(_: Store, __: int) -> Iterable[str]:
        raise InvalidArgumentError(
            f"{what} cannot be used: {error.message}", key=error.key, hint=error.hint
        ) from error

    return Origin(what=what, homes=homes, is_required=True)
