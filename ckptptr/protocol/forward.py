"""Forward copy: what was adopted from another home is copied, inside the store, into our own.

Payload first, then the manifest, then LATEST, and LATEST only while it still names the source. So
`--prev-checkpoint` alone finds it next time, and the old home may expire. Killed at any point it
leaves LATEST on the source. The run's first own publish cancels it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from ckptptr.clock import isoformat
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.fence import Fence
from ckptptr.protocol.latest import Move, Seen
from ckptptr.protocol.manifest import FileRecord, Manifest
from ckptptr.protocol.names import DATA, CheckpointId, manifest_key
from ckptptr.protocol.pointer import Pointer
from ckptptr.protocol.publish import Publisher

CopyAll: TypeAlias = Callable[[Sequence[tuple[str, str]]], None]
"""Copies `(source key, key)` pairs inside the store."""


def copy_home(
    publisher: Publisher, found: Found, files: Sequence[FileRecord], copy_all: CopyAll, author: str
) -> Found:
    """Commit a copy of `found` in our own home, without touching LATEST.

    The copy keeps seq and step, has an id of its own, and says what it was copied from.

    Args:
        files: the records of `found` with their digests; those of a plain folder come from the
            restored files.

    Raises:
        NotFoundError: the source went away meanwhile; nothing was committed.
    """
    node, source = publisher.node, found.manifest
    checkpoint = CheckpointId.new(source.seq if source else 0, node.attempt, publisher.clock)
    records = [msgspec.structs.replace(r, object=f"{DATA}/{checkpoint}/{r.path}") for r in files]
    copy_all(
        [
            (f"{found.home}/{old.object}", f"{node.home}/{new.object}")
            for old, new in zip(files, records, strict=True)
        ]
    )
    manifest = Manifest(
        id=str(checkpoint),
        attempt=node.attempt,
        seq=checkpoint.seq,
        step=source.step if source else None,
        created_at=isoformat(publisher.clock.now()),
        created_by=author,
        parent=found.reference,
        copied_from=found.reference,
        lineage=node.lineage,
        metadata=source.metadata if source else {},
        files=tuple(records),
        folders=source.folders if source else (),
        total_bytes=sum(record.size for record in records),
    )
    publisher.commit(manifest)
    reference = node.root.ref(manifest_key(node.home, checkpoint))
    return Found(reference, node.home, manifest.files, manifest)


def move_latest(publisher: Publisher, source: Found, copied: Found) -> Seen:
    """Let LATEST name the copy, if it still names the source; LATEST as it is then.

    The copy takes its source's place. A pinned source stays named as well, in the history.
    """

    def decide(seen: Seen) -> Move | None:
        pointer = seen.pointer
        if pointer is None or not _still_names(pointer, source, publisher.latest.fence):
            return None
        target = msgspec.structs.replace(
            copied.as_target(publisher.node),
            published_at=pointer.target.published_at,
            score=pointer.target.score,
        )
        history = (pointer.target, *pointer.history) if pointer.target.pinned else pointer.history
        moved = msgspec.structs.replace(pointer, target=target, history=history)
        return Move(moved, publishes=target.checkpoint)

    return publisher.latest.update(decide).seen


def _still_names(pointer: Pointer, source: Found, fence: Fence) -> bool:
    is_ours = pointer.fence <= fence.attempt and not fence.is_of_another_incarnation(pointer)
    return is_ours and not pointer.held and pointer.target.checkpoint == source.reference
