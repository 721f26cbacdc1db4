"""Forward copy: what was adopted from another home is copied, inside the store, into our own.

Payload first, then the manifest, then LATEST, and LATEST only while it still names the source. So
`--prev-checkpoint` alone finds it next time, and the old home may expire. Killed at any point it
leaves LATEST on the source. The run's first own publish cancels it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

import msgspec

from ckptptr.errors import DamagedError, NotFoundError
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.fence import Fence
from ckptptr.protocol.inventory import read_manifest
from ckptptr.protocol.latest import Move, Seen
from ckptptr.protocol.manifest import FileRecord
from ckptptr.protocol.names import CheckpointId
from ckptptr.protocol.node import Node
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.publish import Publisher
from ckptptr.stores.port import Store

Copy: TypeAlias = Callable[[CheckpointId, str, Sequence[FileRecord]], Sequence[FileRecord]]
"""Copies the objects of records, relative to a home, inside the store, as payload of a checkpoint of our own
home; their records there."""


def copy_home(publisher: Publisher, found: Found, files: Sequence[FileRecord], copy: Copy) -> Found:
    """Commit a copy of `found` in our own home, without touching LATEST.

    The copy keeps seq and step, has an id of its own, and says what it was copied from.

    Args:
        files: the records of `found` with their digests; those of a plain folder come from the
            restored files.

    Raises:
        NotFoundError: the source was deleted meanwhile; nothing was committed.
    """
    source = found.manifest
    checkpoint = CheckpointId.new(source.seq if source else 0, publisher.node.attempt, publisher.clock)
    manifest = publisher.manifest(
        checkpoint,
        copy(checkpoint, found.home, files),
        folders=source.folders if source else (),
        step=source.step if source else None,
        metadata=source.metadata if source else {},
        parent=found.reference,
        copied_from=found.reference,
    )
    publisher.commit(manifest)
    return publisher.found(manifest)


def move_latest(publisher: Publisher, source: Found, copied: Found) -> Seen:
    """Let LATEST name the copy, if it still names the source; LATEST as it is then.

    The copy takes its source's place. A pinned source stays named as well, in the history.
    """

    def decide(seen: Seen) -> Move | None:
        pointer = seen.pointer
        if pointer is None or not _still_names(pointer, source, publisher.latest.fence):
            return None
        if copied.reference in pointer.expired:
            return None  # a person has dropped the copy
        target = msgspec.structs.replace(
            copied.as_target(publisher.node),
            published_at=pointer.target.published_at,
            score=pointer.target.score,
            unknown=pointer.target.unknown,
        )
        history = (pointer.target, *pointer.history) if pointer.target.pinned else pointer.history
        moved = msgspec.structs.replace(pointer, target=target, history=history)
        if pointer.fence < publisher.node.attempt:  # a person's edit has lost ours
            incarnation = publisher.latest.fence.marked_on(pointer)
            moved = msgspec.structs.replace(moved, fence=publisher.node.attempt, incarnation=incarnation)
        return Move(moved, "forward copy", publishes=target.checkpoint)

    return publisher.latest.update(decide).seen


def _still_names(pointer: Pointer, source: Found, fence: Fence) -> bool:
    is_ours = not fence.is_below(pointer.fence, pointer)
    return is_ours and not pointer.held and pointer.target.checkpoint == source.reference


def saved_by(store: Store, node: Node, target: Target) -> int:
    """The attempt that saved a checkpoint, if others have copied it forward since; as far back as the copies
    are still there: one GET for each."""
    attempt, place = target.attempt, node.root.manifest_at(target.checkpoint)
    with suppress(NotFoundError, DamagedError):
        while place is not None and place.id.attempt <= attempt:
            attempt = place.id.attempt
            source = read_manifest(store, place.home, place.id).copied_from
            place = node.root.manifest_at(source) if source and node.owns(source) else None
    return attempt
