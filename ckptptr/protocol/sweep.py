"""Sweep: delete what retention let go, and nothing else.

Only what LATEST lists as `doomed` is deleted, one publish after it was doomed, and after another
look at LATEST; what LATEST names is never deleted, nor what a pin marker keeps. The manifest goes
first, then those payload objects that no surviving manifest of the home references: a half-swept
checkpoint is an uncommitted one. What turns out to be another node's (Flyte's hashes collide) stays,
whatever LATEST says of it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ckptptr.errors import DamagedError, NotFoundError
from ckptptr.protocol.inventory import committed, payload, read_manifest
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.protocol.manifest import Lineage, Manifest
from ckptptr.protocol.names import CheckpointId, manifest_key
from ckptptr.protocol.node import Node
from ckptptr.stores.port import Store

log = logging.getLogger("ckptptr")


def sweep(store: Store, node: Node, latest: Latest, doomed_before: Iterable[str]) -> tuple[str, ...]:
    """Delete what was doomed before the last publish and still is; the references that are gone now.

    Args:
        doomed_before: `doomed` of the LATEST that our last publish replaced.
    """
    pointer = latest.read().pointer
    if pointer is None or pointer.held:
        return ()  # a person may be choosing right now, in whatever words
    still = set(pointer.doomed) - {target.checkpoint for target in pointer.retained}
    return delete(store, node, [reference for reference in doomed_before if reference in still])


def drop_held_back(store: Store, node: Node, latest: Latest, references: Iterable[str]) -> None:
    """Delete checkpoints of ours that no LATEST ever named, while a person holds it; not what the person
    has come to choose, in whatever words."""
    pointer = latest.read().pointer
    if pointer is None or not pointer.held:
        return  # the next search for orphans will see to it
    chosen = " ".join([pointer.target.checkpoint, *(target.checkpoint for target in pointer.history)])
    names = {reference: reference.rpartition("/")[2].removesuffix(".json") for reference in references}
    delete(store, node, [reference for reference, name in names.items() if name not in chosen])


def delete(store: Store, node: Node, references: Iterable[str]) -> tuple[str, ...]:
    """Delete checkpoints of this node that nobody can name any more; those that are gone now."""
    by_home: dict[str, dict[CheckpointId, str]] = {}
    for reference in references:
        found = node.root.manifest_at(reference)
        if found and node.owns(reference):
            by_home.setdefault(found.home, {})[found.id] = reference
    return tuple(
        gone for home, ids in by_home.items() for gone in _delete_in_home(store, home, ids, node.lineage)
    )


def _delete_in_home(store: Store, home: str, doomed: dict[CheckpointId, str], lineage: Lineage) -> list[str]:
    stock = committed(store, home)
    going = {checkpoint for checkpoint in doomed if checkpoint not in stock.pinned}
    manifests = _manifests(store, home, stock.ids, unless_damaged=going)
    if manifests is None:
        return []
    going -= {checkpoint for checkpoint, m in manifests.items() if lineage.differs_from(m.lineage)}
    live = _objects(home, (m for checkpoint, m in manifests.items() if checkpoint not in going))
    # What the doomed ones borrowed from checkpoints that went before them goes with the last borrower.
    borrowed = _objects(home, (m for checkpoint, m in manifests.items() if checkpoint in going))
    store.delete(manifest_key(home, checkpoint) for checkpoint in going)
    uploaded = payload(store, home)
    orphaned = {
        entry.key
        for uploader, entries in uploaded.items()
        for entry in entries
        if uploader in going or (uploader not in stock.ids and entry.key in borrowed)
    }
    store.delete(sorted(orphaned - live))
    for checkpoint in sorted(going, key=lambda checkpoint: checkpoint.age):
        log.info("swept %s", store.url(manifest_key(home, checkpoint)))
    return list(doomed.values())  # the pinned and the other node's too: they stay, but no longer as doomed


def _manifests(
    store: Store, home: str, ids: Iterable[CheckpointId], *, unless_damaged: Collection[CheckpointId] = ()
) -> dict[CheckpointId, Manifest] | None:
    """The manifests of those checkpoints; None where one cannot tell us what it consists of.

    A manifest that is damaged might have named anything, so that nothing of its home may go; but for
    those in `unless_damaged`, which are going themselves.
    """
    found: dict[CheckpointId, Manifest] = {}
    for checkpoint in ids:
        try:
            found[checkpoint] = read_manifest(store, home, checkpoint)
        except NotFoundError:
            continue
        except DamagedError as error:
            if checkpoint in unless_damaged:
                continue
            log.warning("not sweeping %s: %s", store.url(home), error)
            return None
    return found


def _objects(home: str, manifests: Iterable[Manifest]) -> set[str]:
    """The keys of the objects that those checkpoints consist of."""
    return {f"{home}/{record.object}" for manifest in manifests for record in manifest.files}


@dataclass(frozen=True, slots=True)
class Strays:
    """References of what a search found in the homes of a node.

    `orphans` were committed or uploaded here, but never published: killed savers. `others` LATEST names,
    or lists as doomed, although they are another node's.
    """

    orphans: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def search(store: Store, node: Node, seen: Seen) -> Strays:
    """Look through all homes of a node for what should not be there, or should not be named.

    An orphan is one only if its attempt is below the fence, or it is of our own attempt and older than
    everything that is named. Never just "what the LATEST I saw does not name": another process may
    have published, or be uploading, since.
    """
    pointer = seen.pointer
    if pointer is None or pointer.held:
        return Strays()
    named = {target.checkpoint for target in pointer.retained} | set(pointer.doomed)
    own = f"{node.root.ref(node.home)}/"
    all_ours = all(target.checkpoint.startswith(own) for target in pointer.retained)
    oldest = min((target.seq for target in pointer.retained), default=0) if all_ours else 0
    found: list[str] = []
    others: list[str] = []
    for home in node.own_homes():
        stock = committed(store, home)
        manifests = _manifests(store, home, stock.ids)
        if manifests is None:
            continue
        theirs = {checkpoint for checkpoint, m in manifests.items() if node.lineage.differs_from(m.lineage)}
        # Where another node saves as well, payload without a manifest may be what it is just uploading.
        idle = set() if theirs else _idle(store, home, _objects(home, manifests.values()))
        for checkpoint in sorted(idle | set(stock.ids), key=lambda checkpoint: checkpoint.age):
            reference = node.root.ref(manifest_key(home, checkpoint))
            is_fenced = checkpoint.attempt < pointer.fence and home != node.home
            is_old = home == node.home and checkpoint.seq < oldest
            if checkpoint in theirs:
                others += [reference] if reference in named else []
            elif (is_fenced or is_old) and reference not in named and checkpoint not in stock.pinned:
                found.append(reference)
    return Strays(tuple(found), tuple(others))


def _idle(store: Store, home: str, needed: Collection[str]) -> set[CheckpointId]:
    """The ids under which payload was uploaded that no checkpoint needs."""
    return {
        uploader
        for uploader, entries in payload(store, home).items()
        if not any(entry.key in needed for entry in entries)
    }
