"""What is really there: committed checkpoints, pins and plain files, from listings.

A checkpoint is committed when its manifest is there. Payload without a manifest is a checkpoint
that is not finished or that is deleted by half, and never counts as anything else.

Flyte's 32-bit hashes collide: what stands in a home of a node may be another node's. Its manifest tells,
and is read before anything is named or deleted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from ckptptr.errors import DamagedError, NotFoundError
from ckptptr.hidden import HIDDEN
from ckptptr.protocol.complete import flaws, payload_of
from ckptptr.protocol.manifest import (
    LIMIT,
    FileRecord,
    Lineage,
    Manifest,
    folders_above,
    is_plain_path,
    why_unfit,
)
from ckptptr.protocol.names import (
    BYTES_NAME,
    DATA,
    MANIFESTS,
    NODES,
    SETS,
    CheckpointId,
    data_folder,
    manifest_key,
    round_and_nonce,
    sets_folder,
    uploader_of,
)
from ckptptr.protocol.parts import Named
from ckptptr.protocol.pointer import Target
from ckptptr.protocol.references import Root
from ckptptr.stores.port import GLANCE, Entry, Store

FEW = 8
"""This many folders are listed one by one, since others beside them may have very many files. For more, one
listing of all is cheaper."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The checkpoints committed in one home, newest first, and which of them are pinned.

    `largest`: the size of their largest manifest in bytes, as it is listed.
    """

    home: str
    ids: tuple[CheckpointId, ...]
    pinned: frozenset[CheckpointId]
    largest: int


def committed(store: Store, home: str) -> Committed:
    """One listing of the manifests of a home."""
    ids: list[CheckpointId] = []
    pinned: set[CheckpointId] = set()
    largest = 0
    for entry in store.list(f"{home}/{MANIFESTS}"):
        name = entry.key.rpartition("/")[2]
        stem, _, kind = name.rpartition(".")
        checkpoint = CheckpointId.match(stem)
        if checkpoint and kind == "json":
            ids.append(checkpoint)
            largest = max(largest, entry.size)
        elif checkpoint and kind == "pin":
            pinned.add(checkpoint)
    newest_first = sorted(ids, key=lambda id: id.age, reverse=True)
    return Committed(home, tuple(newest_first), frozenset(pinned), largest)


def is_pinned(store: Store, home: str, manifest: Manifest | None) -> bool:
    """Whether there is a marker for a checkpoint: one listing."""
    return manifest is not None and manifest.checkpoint_id in committed(store, home).pinned


class Uploads(NamedTuple):
    """What was uploaded to a home: the checkpoints that have payload there, and by nonce the records that
    several writers need to share a checkpoint (`protocol.parts`)."""

    ids: frozenset[CheckpointId]
    sets: dict[str, list[Entry]]


def uploads(store: Store, home: str) -> Uploads:
    """One listing of one level, and one of the records where there are any."""
    names = store.folders(f"{home}/{DATA}")
    ids = frozenset(id for name in names if (id := CheckpointId.match(name)))
    return Uploads(ids, sets(store, home) if sets_folder(home).rpartition("/")[2] in names else {})


def sets(store: Store, home: str) -> dict[str, list[Entry]]:
    """The records of the sets in a home, by the nonce of their checkpoint: one listing."""
    found: dict[str, list[Entry]] = {}
    for entry in store.list(sets_folder(home)):
        if name := round_and_nonce(home, entry.key):
            found.setdefault(name[1], []).append(entry)
    return found


def payload_without(
    store: Store, home: str, committed: Collection[CheckpointId]
) -> dict[CheckpointId, list[Entry]]:
    """The payload objects and records of a home by the checkpoint that uploaded them, but for these."""
    ids, sets = uploads(store, home)
    found = _payload_of(store, home, ids - {*committed})
    for id in ids:
        of_set = sets.pop(id.nonce, [])
        if id in found:
            found[id] += of_set
    for entries in sets.values():  # a set of which no writer has uploaded a file
        for entry in entries:
            with suppress(NotFoundError, DamagedError):
                named = Named.decode(store.read(entry.key, GLANCE)[0], store.url(entry.key)).checkpoint_id
                if named not in committed:
                    found[named] = entries
                break
    return found


def having_payload(store: Store, home: str, ids: Collection[CheckpointId]) -> set[CheckpointId]:
    """Those of which a file is there: a folder may be listed although nothing is in it any more."""
    return {id for id, entries in _payload_of(store, home, ids).items() if entries}


def _payload_of(store: Store, home: str, ids: Collection[CheckpointId]) -> dict[CheckpointId, list[Entry]]:
    """What is below the `data/<id>/` of each, from the oldest to the newest."""
    found: dict[CheckpointId, list[Entry]] = {id: [] for id in sorted(ids, key=lambda id: id.age)}
    if len(found) <= FEW:
        return {id: [*store.list(f"{home}/{data_folder(id)}")] for id in found}
    for entry in store.list(f"{home}/{DATA}"):
        if (id := uploader_of(home, entry.key)) in found:
            found[id].append(entry)
    return found


def rounds_of(home: str, entries: Iterable[Entry]) -> set[str]:
    """The rounds of ranks whose sets are among the payload of a checkpoint."""
    return {name[0] for entry in entries if (name := round_and_nonce(home, entry.key))}


def plain_files(store: Store, folder: str) -> tuple[FileRecord, ...]:
    """The files of a folder that stock flytekit, or a person, filled; without digests.

    Empty where there is nothing, where anything of a checkpoint of ours is below it (uncommitted payload is
    never plain content), or below `_ckptptr`.

    Raises:
        DamagedError: no disk can have these files, `a` and `a/b` for example.
    """
    sizes = {entry.key[len(folder) + 1 :]: entry.size for entry in store.list(folder)}
    # A web console makes folders visible by empty objects whose names end with a slash. What a killed restore
    # left hidden may have been uploaded as well.
    files = {
        p: size for p, size in sizes.items() if p and not p.endswith("/") and f"/{HIDDEN}" not in f"/{p}"
    }
    if NODES in folder.split("/") or any(_is_ours(path) for path in files):
        return ()
    for path in files:
        unfit = not is_plain_path(path) or why_unfit(path)
        if unfit or any(above in files for above in folders_above(path)):
            raise DamagedError(f"the file {path!r} cannot be put on a disk", key=store.url(folder))
    return tuple(FileRecord(path=p, object=p, size=size, xxh3_128="") for p, size in files.items())


_OBJECT_HOME = re.compile(r"(.+/[1-9][0-9]*)/_flytecheckpoints")


def object_at(store: Store, home: str) -> tuple[FileRecord, ...]:
    """The object at the path of a home, without a digest; empty if there is none.

    Stock Flyte 2 keeps a checkpoint in it: bytes, a file, or a folder as a tar archive. An empty one is none,
    to stock Flyte 2 too. Only homes of its layout are asked for. The record is relative to the folder above.
    """
    found = _OBJECT_HOME.fullmatch(home)
    if found is None:
        return ()
    try:
        size = len(store.read(home, GLANCE)[0])
    except NotFoundError:
        return ()
    if size == GLANCE:  # or more: only a listing tells
        size = next((entry.size for entry in store.list(found[1]) if entry.key == home), 0)
    record = FileRecord(path=BYTES_NAME, object=home[len(found[1]) + 1 :], size=size, xxh3_128="")
    return (record,) if size else ()


def _is_ours(path: str) -> bool:
    if f"/{SETS}/" in f"/{path}":
        return True
    return any(
        CheckpointId.match(name.removesuffix(".json").removesuffix(".pin")) for name in path.split("/")
    )


def read_manifest(store: Store, home: str, checkpoint: CheckpointId) -> Manifest:
    """The manifest of a checkpoint, checked.

    Raises:
        NotFoundError: it is not committed, or was deleted.
        DamagedError: it is not what was written.
        UnsupportedFormatError: written by a newer version.
    """
    key = manifest_key(home, checkpoint)
    body, _ = store.read(key, LIMIT + 1)
    return Manifest.decode(body, checkpoint, store.url(key))


def describe(
    root: Root, home: str, manifest: Manifest, *, pinned: bool = False, score: float | None = None
) -> Target:
    """A checkpoint as LATEST names it."""
    return Target(
        checkpoint=root.ref(manifest_key(home, manifest.checkpoint_id)),
        step=manifest.step,
        attempt=manifest.attempt,
        seq=manifest.seq,
        published_at=manifest.created_at,
        bytes=manifest.total_bytes,
        pinned=pinned,
        score=score,
    )


def newest_attempt(store: Store, homes: Iterable[str], lineage: Lineage) -> int:
    """The highest attempt of the node of `lineage` that has committed something in `homes`, or -1."""
    found = ((home, checkpoint) for home in homes for checkpoint in committed(store, home).ids)
    for home, checkpoint in sorted(found, key=lambda pair: pair[1].age, reverse=True):
        if not is_of_another(store, home, checkpoint, lineage):
            return checkpoint.attempt
    return -1


def is_of_another(store: Store, home: str, checkpoint: CheckpointId, lineage: Lineage) -> bool:
    """Whether a checkpoint says that it belongs to another node than that of `lineage`."""
    try:
        return bool(lineage.differs_from(read_manifest(store, home, checkpoint).lineage))
    except (NotFoundError, DamagedError):
        return False


def take_stock(
    store: Store,
    root: Root,
    homes: Iterable[str],
    lineage: Lineage,
    score: Callable[[Mapping[str, Any]], float | None] = lambda _: None,
    *,
    without: CheckpointId | None = None,
) -> list[Target]:
    """Every checkpoint of the node of `lineage` that is committed in `homes`, newest first by (attempt, seq).

    What a lost or bare LATEST knew is rebuilt from this. What could not be restored is left out: a
    damaged manifest, or one whose objects are not all there.

    Args:
        score: what a retention ranks by, given the metadata.
        without: this checkpoint, which was just uploaded, is not looked at.
    """
    found: list[tuple[CheckpointId, Target]] = []
    for home in homes:
        stock = committed(store, home)
        ids = [checkpoint for checkpoint in stock.ids if checkpoint != without]
        listed = payload_of(store, home) if ids else {}
        for checkpoint in ids:
            manifest = _read_if_good(store, home, checkpoint, listed)
            if manifest and not lineage.differs_from(manifest.lineage):
                pinned, ranked = checkpoint in stock.pinned, score(manifest.metadata)
                target = describe(root, home, manifest, pinned=pinned, score=ranked)
                found.append((checkpoint, target))
    found.sort(key=lambda pair: pair[0].age, reverse=True)
    return [target for _, target in found]


def _read_if_good(
    store: Store, home: str, checkpoint: CheckpointId, listed: Mapping[str, Entry]
) -> Manifest | None:
    try:
        manifest = read_manifest(store, home, checkpoint)
    except (NotFoundError, DamagedError):
        return None
    return None if flaws(home, manifest.files, listed) else manifest
