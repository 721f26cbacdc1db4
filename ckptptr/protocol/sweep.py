"""Sweep: what a sweep deletes, and nothing else (`session.background_sweeps` says when a run sweeps).

Only what LATEST lists as expired is deleted, one publish after it was listed, and after another look at
LATEST. What LATEST names is never deleted, nor what a pin marker keeps. The manifest is deleted first, then
those payload objects that no surviving manifest of the home references: so a checkpoint that is deleted by
half is an uncommitted one. What turns out to be another node's (Flyte's hashes collide) stays, whatever
LATEST says of it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from ckptptr.errors import ConflictError, DamagedError, InvalidArgumentError, NotFoundError
from ckptptr.events import Event, emit
from ckptptr.protocol.inventory import (
    FEW,
    Committed,
    committed,
    having_payload,
    payload_without,
    read_manifest,
    rounds_of,
    sets,
    uploads,
)
from ckptptr.protocol.latest import Latest, Move, Seen
from ckptptr.protocol.manifest import FileRecord, Lineage, Manifest
from ckptptr.protocol.names import DATA, CheckpointId, data_folder, manifest_key, round_and_nonce, uploader_of
from ckptptr.protocol.node import Node
from ckptptr.protocol.pointer import Pointer
from ckptptr.protocol.publish import EXPIRED_LIMIT
from ckptptr.stores.port import Entry, Store


def sweep(store: Store, node: Node, latest: Latest, expired_before: Iterable[str]) -> tuple[str, ...]:
    """Delete what had expired before the last publish and still is listed; the references that are gone now.

    Args:
        expired_before: what the LATEST listed that our last publish replaced.
    """
    pointer = latest.read().pointer
    if pointer is None or pointer.held:
        return ()  # a person may be choosing right now, in whatever words
    still = set(pointer.expired) - {target.checkpoint for target in pointer.retained}
    return delete(store, node, [reference for reference in expired_before if reference in still])


def sweepable(seen: Seen, url: str) -> Pointer:
    """What LATEST says, where a person may sweep by it.

    Raises:
        InvalidArgumentError: a person holds it, or it is absent or damaged.
    """
    if seen.pointer is None:
        what = "LATEST is damaged" if seen.damage else "LATEST is absent"
        raise InvalidArgumentError(
            f"{what} and cannot tell what may be deleted", key=url, hint="The next save writes it again"
        )
    if seen.pointer.held:
        raise InvalidArgumentError(
            "LATEST is held: the person who holds it may be choosing right now",
            key=url,
            hint="Sweep when an attempt has taken it up, or `ckptptr release` it first",
        )
    return seen.pointer


def sweep_by_hand(store: Store, node: Node, latest: Latest, agreed: Collection[str]) -> tuple[str, ...]:
    """A person's sweep of what has expired, and of orphans; the references that are gone now.

    There is no next publish to wait for. So a move of LATEST lists the orphans as expired: a process that
    saves or chooses meanwhile meets a LATEST that has changed, and looks again. Then as every sweep.

    Args:
        agreed: nothing else is deleted.

    Raises:
        InvalidArgumentError: see `sweepable`.
        ConflictError: others kept moving LATEST.
    """

    def list_orphans(seen: Seen) -> Move | None:
        pointer = sweepable(seen, latest.url)
        found = [orphan for orphan in search(store, node, seen).orphans if orphan in agreed]
        listed = tuple(dict.fromkeys((*pointer.expired, *found)))[:EXPIRED_LIMIT]
        return Move(msgspec.structs.replace(pointer, expired=listed), "sweep") if found else None

    listed = latest.update(list_orphans).seen.expired
    gone = sweep(store, node, latest, [reference for reference in listed if reference in agreed])

    def take_out(seen: Seen) -> Move | None:
        pointer = seen.pointer
        if pointer is None or pointer.held or not any(reference in gone for reference in pointer.expired):
            return None
        left = tuple(reference for reference in pointer.expired if reference not in gone)
        return Move(msgspec.structs.replace(pointer, expired=left), "sweep")

    with suppress(ConflictError):  # a later sweep takes them out
        latest.update(take_out)
    return gone


def delete_unpublished(store: Store, node: Node, latest: Latest, references: Iterable[str]) -> None:
    """Delete checkpoints of ours that no LATEST ever named, while a person holds it; not what the person
    has chosen meanwhile, in whatever words."""
    pointer = latest.read().pointer
    if pointer is None or not pointer.held:
        return  # the next search for orphans finds them
    chosen = " ".join([pointer.target.checkpoint, *(target.checkpoint for target in pointer.history)])
    names = {reference: reference.rpartition("/")[2].removesuffix(".json") for reference in references}
    delete(store, node, [reference for reference, name in names.items() if name not in chosen])


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is deleted in one home, where some of its checkpoints are.

    `references`: all that need not be listed as expired any more; also of the pinned and of another node's,
    which stay, and of what is gone already. `leaving`: those of which something is deleted.
    """

    home: str
    references: tuple[str, ...]
    leaving: tuple[str, ...]
    manifests: tuple[str, ...]
    objects: tuple[Entry, ...]

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.objects)


def deletions(store: Store, node: Node, references: Iterable[str]) -> Iterator[Deletion]:
    """What `delete` deletes, home by home; nothing of a home that has a damaged manifest."""
    by_home: dict[str, dict[CheckpointId, str]] = {}
    for reference in references:
        found = node.root.manifest_at(reference)
        if found and node.owns(reference):
            by_home.setdefault(found.home, {})[found.id] = reference
    for home, expired in by_home.items():
        deletion = _deletion_in_home(store, home, expired, node.lineage)
        if deletion is not None:
            yield deletion


def delete(store: Store, node: Node, references: Iterable[str]) -> tuple[str, ...]:
    """Delete checkpoints of this node that no process can name any more; those that are gone now."""
    done: list[Deletion] = []
    try:
        for deletion in deletions(store, node, references):
            store.delete(deletion.manifests)
            store.delete(entry.key for entry in deletion.objects)
            done.append(deletion)
    finally:
        _tell(store, node, done)
    return tuple(reference for deletion in done for reference in deletion.references)


def _tell(store: Store, node: Node, done: Iterable[Deletion]) -> None:
    keys = [key for deletion in done for key in deletion.manifests]
    if keys:
        event = Event(
            "sweep",
            f"deleted {', '.join(map(store.url, keys))}",
            node=store.url(node.prefix),
            checkpoint=node.root.ref(keys[0]) if len(keys) == 1 else None,
            bytes=sum(deletion.bytes for deletion in done),
        )
        emit(event)


def _deletion_in_home(
    store: Store, home: str, expired: dict[CheckpointId, str], lineage: Lineage
) -> Deletion | None:
    stock = committed(store, home)
    unpinned = expired.keys() - stock.pinned
    manifests = _manifests(store, home, stock.ids, unless_damaged=unpinned)
    if manifests is None:
        return None
    theirs = {checkpoint for checkpoint, m in manifests.items() if lineage.differs_from(m.lineage)}
    deleted = dict.fromkeys(sorted(unpinned - theirs, key=lambda checkpoint: checkpoint.age))
    live = _objects(m for checkpoint, m in manifests.items() if checkpoint not in deleted)
    found = _unused(store, home, deleted, {*stock.ids}, manifests)
    unused = [(checkpoint, entry) for checkpoint, entry in found if entry.key not in live]
    there = {*stock.ids, *(checkpoint for checkpoint, _ in unused)}
    objects = {entry.key: entry for _, entry in unused}
    return Deletion(
        home=home,
        references=tuple(expired.values()),
        leaving=tuple(expired[checkpoint] for checkpoint in deleted if checkpoint in there),
        manifests=tuple(manifest_key(home, checkpoint) for checkpoint in deleted),
        # From the end: the record that names a set comes after all that it leads to.
        objects=tuple(objects[key] for key in sorted(objects, reverse=True)),
    )


def _unused(
    store: Store,
    home: str,
    deleted: Collection[CheckpointId],
    committed: Collection[CheckpointId],
    manifests: Mapping[CheckpointId, _Stated],
) -> Iterator[tuple[CheckpointId, Entry]]:
    """What the deleted checkpoints uploaded, and what only they still borrowed from others that were deleted
    earlier; perhaps used by others. Each with the checkpoint that it is of: several may share one. Their
    manifests tell, where they have some."""
    of_sets = sets(store, home)
    for checkpoint in deleted:
        for entry in of_sets.get(checkpoint.nonce, ()):
            yield checkpoint, entry
        if checkpoint not in manifests:
            for entry in store.list(f"{home}/{data_folder(checkpoint)}"):
                yield checkpoint, entry
            continue
        for entry in manifests[checkpoint].objects:
            uploader = uploader_of(home, entry.key)
            if uploader and (uploader in deleted or uploader not in committed):
                yield checkpoint, entry


class _Stated(NamedTuple):
    """What a manifest says of whose it is, and of what it consists."""

    lineage: Lineage
    objects: tuple[Entry, ...]


def _manifests(
    store: Store, home: str, ids: Iterable[CheckpointId], *, unless_damaged: Collection[CheckpointId] = ()
) -> dict[CheckpointId, _Stated] | None:
    """What the manifests of those checkpoints say; None where one cannot tell us what it consists of.

    A damaged manifest might have named anything, so that nothing of its home may be deleted; but for those
    in `unless_damaged`, which are deleted themselves.

    Only one of them is whole at a time. Objects that several reference are there once.
    """
    found: dict[CheckpointId, _Stated] = {}
    known: dict[str, Entry] = {}
    for checkpoint in ids:
        try:
            found[checkpoint] = _stated(home, read_manifest(store, home, checkpoint), known)
        except NotFoundError:
            continue
        except DamagedError as error:
            if checkpoint in unless_damaged:
                continue
            message = f"nothing is deleted in {store.url(home)}: {error}"
            emit(Event("sweep", message, level=logging.WARNING, error=error.code))
            return None
    return found


def _stated(home: str, manifest: Manifest, known: dict[str, Entry]) -> _Stated:
    def entry(record: FileRecord) -> Entry:
        same = known.get(record.object)
        if same is None or same.size != record.size:
            same = known[record.object] = Entry(f"{home}/{record.object}", record.size)
        return same

    return _Stated(manifest.lineage, tuple(map(entry, manifest.files)))


def _objects(manifests: Iterable[_Stated]) -> set[str]:
    """The keys of the objects that those checkpoints consist of."""
    return {entry.key for stated in manifests for entry in stated.objects}


@dataclass(frozen=True, slots=True)
class Searched:
    """References of what a search found in the homes of a node.

    `orphans` were committed or uploaded here, but never published: their saves were killed. `others` LATEST
    names, or lists as expired, although they are another node's.
    """

    orphans: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def search(store: Store, node: Node, seen: Seen, *, round_: str = "", since: int = 0) -> Searched:
    """Look through all homes of a node for orphans, and for what LATEST must not name.

    Args:
        round_: the token of our own round of ranks. What a round that lives has begun is no orphan.
        since: homes of earlier attempts than this are left out, if no one listing tells all homes.

    Never just "what the LATEST I saw does not name": another process may have published, or be uploading,
    since. So an orphan is what no process can publish any more, see `_is_too_late`.
    """
    pointer = seen.pointer
    if pointer is None or pointer.held:
        return Searched()
    listed = {target.checkpoint for target in pointer.retained} | {*seen.expired}
    alive = {round_, pointer.incarnation} - {""}
    orphans: list[str] = []
    others: list[str] = []
    for home in _worth_a_look(store, node, listed, since):
        stock = committed(store, home)
        manifests = _manifests(store, home, stock.ids)
        if manifests is None:
            continue
        theirs = {checkpoint for checkpoint, m in manifests.items() if node.lineage.differs_from(m.lineage)}
        # Where another node saves as well, payload without a manifest may be what it is just uploading.
        idle = {} if theirs else _idle(store, stock, _objects(manifests.values()))
        idle_ids = {c for c, entries in idle.items() if not rounds_of(home, entries) & alive}
        ours = {*stock.ids, *idle_ids} - theirs - stock.pinned
        late = [checkpoint for checkpoint in ours if _is_too_late(node, pointer, home, checkpoint)]
        orphans += [ref for ref in _references(node, home, late) if ref not in listed]
        others += [ref for ref in _references(node, home, theirs) if ref in listed]
    return Searched(tuple(orphans), tuple(others))


def everything(store: Store, node: Node, homes: Iterable[str]) -> list[str]:
    """References of all that a node has in these homes, whole or not, by home and age; not of what is another
    node's, or may be, or is pinned."""
    found: list[str] = []
    for home in homes:
        stock = committed(store, home)
        manifests = _manifests(store, home, stock.ids, unless_damaged=stock.ids) or {}
        theirs = {checkpoint for checkpoint, m in manifests.items() if node.lineage.differs_from(m.lineage)}
        if theirs:
            ours = manifests.keys() - theirs
        else:  # a folder may be listed although nothing is in it
            idle = payload_without(store, home, stock.ids)
            ours = {*stock.ids, *(checkpoint for checkpoint, entries in idle.items() if entries)}
        found += _references(node, home, ours - stock.pinned)
    return [reference for reference in found if node.owns(reference)]


def _worth_a_look(store: Store, node: Node, listed: Collection[str], since: int) -> Iterable[str]:
    """The homes of a node, our own first, without those that hold only what LATEST lists.

    Where all homes are in one folder, one listing tells, however many attempts there were; but not whether
    another node saves in them too. While LATEST lists nothing in our own, nothing in it is too late.
    """
    if not (node.folder and node.attempt) or node.lineage != Lineage():
        is_ours_listed = any(ref.startswith(f"{node.root.ref(node.home)}/") for ref in listed)
        return [home for home in node.own_homes(store, since) if home != node.home or is_ours_listed]
    there = _present(store, node.folder)
    full = (home for home, checkpoints in there.items() if not _are_listed(node, home, checkpoints, listed))
    return [node.home, *(home for home in full if home != node.home and node.is_own_home(home))]


def _are_listed(
    node: Node, home: str, checkpoints: Iterable[CheckpointId | None], listed: Collection[str]
) -> bool:
    return all(c is not None and node.root.ref(manifest_key(home, c)) in listed for c in checkpoints)


def _present(store: Store, folder: str) -> dict[str, set[CheckpointId | None]]:
    """What is in a folder of homes, by home: checkpoints, whole or not, and None for anything else.

    Few homes are looked into one by one, since they may have very many files; of many, one listing tells.
    """
    homes = [f"{folder}/{name}" for name in store.folders(folder)]
    return {home: _present_in(store, home) for home in homes} if len(homes) <= FEW else _all(store, folder)


def _all(store: Store, folder: str) -> dict[str, set[CheckpointId | None]]:
    """As `_present`, by one listing."""
    found: dict[str, set[CheckpointId | None]] = {}
    nonces: dict[str, set[str]] = {}
    for entry in store.list(folder):
        name, _, inside = entry.key[len(folder) + 1 :].partition("/")
        kind, _, below = inside.partition("/")
        home = f"{folder}/{name}"
        if of_a_set := round_and_nonce(home, entry.key):
            nonces.setdefault(home, set()).add(of_a_set[1])
            continue
        named = below.partition("/")[0] if kind == DATA else below.removesuffix(".json").removesuffix(".pin")
        found.setdefault(home, set()).add(CheckpointId.match(named))
    return {home: _and_others(found.get(home, set()), nonces.get(home, set())) for home in (*found, *nonces)}


def _present_in(store: Store, home: str) -> set[CheckpointId | None]:
    ids, sets = uploads(store, home)
    whole = {*committed(store, home).ids}
    return _and_others({*whole, *having_payload(store, home, ids - whole)}, sets.keys())


def _and_others(there: set[CheckpointId | None], nonces: Set[str]) -> set[CheckpointId | None]:
    """With None if there is a set of which no writer has uploaded anything."""
    return there | {None} if nonces - {id.nonce for id in there if id} else there


def deleted_before(store: Store, node: Node, seen: Seen) -> tuple[str, ...]:
    """What LATEST lists as expired, and of which nothing is left: its process deleted it, and has not
    published again.

    The homes are looked into. Many attempts may have published just once: of more than a few homes, one
    listing tells where all are in one folder; else only the oldest are looked into.
    """
    named = ((reference, node.root.manifest_at(reference)) for reference in seen.expired)
    places = {reference: place for reference, place in named if place and node.owns(reference)}
    by_age = sorted(places.values(), key=lambda place: place.id.age)
    homes = [*dict.fromkeys(place.home for place in by_age)]
    if node.folder and len(homes) > FEW:
        there = _all(store, node.folder)
    else:
        homes = homes[:FEW]
        there = {home: _present_in(store, home) for home in homes}
    return tuple(
        reference
        for reference, place in places.items()
        if place.home in homes and place.id not in there.get(place.home, ())
    )


def _is_too_late(node: Node, pointer: Pointer, home: str, checkpoint: CheckpointId) -> bool:
    """Whether no process can publish a checkpoint any more: its attempt is below the fence, or it is of our
    own attempt and older than all that LATEST names, which is ours too."""
    if home != node.home:
        return checkpoint.attempt < pointer.fence
    own = f"{node.root.ref(node.home)}/"
    named = pointer.retained
    return bool(named) and all(t.checkpoint.startswith(own) and t.seq > checkpoint.seq for t in named)


def _references(node: Node, home: str, checkpoints: Iterable[CheckpointId]) -> list[str]:
    """By age, the oldest first."""
    by_age = sorted(checkpoints, key=lambda checkpoint: checkpoint.age)
    return [node.root.ref(manifest_key(home, checkpoint)) for checkpoint in by_age]


def idle_payload(store: Store, stock: Committed) -> dict[CheckpointId, list[Entry]] | None:
    """Payload in a home that none of its checkpoints needs, by the checkpoint that uploaded it and has no
    manifest: saves that were killed or are under way, and what a killed sweep left. None where a damaged
    manifest cannot tell what it needs."""
    manifests = _manifests(store, stock.home, stock.ids)
    return None if manifests is None else _idle(store, stock, _objects(manifests.values()))


def _idle(store: Store, stock: Committed, needed: Collection[str]) -> dict[CheckpointId, list[Entry]]:
    unneeded = {
        uploader: [entry for entry in entries if entry.key not in needed]
        for uploader, entries in payload_without(store, stock.home, stock.ids).items()
    }
    return {uploader: entries for uploader, entries in unneeded.items() if entries}
