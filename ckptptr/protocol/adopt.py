"""Adopt: a restore that did not simply follow LATEST moves LATEST to what it is about to return.

One compare-and-swap with the token that the resolution read; where others moved LATEST first, all is
resolved again. So the next attempt needs one GET, and exactly one run restores a person's
choice, once, however many processes it has.
"""

from __future__ import annotations

from functools import cache

import msgspec

from ckptptr.protocol.inventory import committed, is_pinned, newest_attempt, take_stock
from ckptptr.protocol.latest import Latest, Move, Seen
from ckptptr.protocol.node import Node
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.references import FRESH
from ckptptr.protocol.resolve import Resolution
from ckptptr.protocol.retention import Retention
from ckptptr.stores.port import Store


def adopt(
    store: Store, node: Node, latest: Latest, resolution: Resolution, retention: Retention | None = None
) -> Move:
    """The move that makes LATEST name what `resolution` returns; no longer held, fenced by our attempt.

    Args:
        retention: gives the scores of a history that is rebuilt.

    Raises:
        SupersededError: a newer attempt owns LATEST.
        StoreUnavailableError: LATEST has lost the history or the fence, and the store did not list it.
    """
    seen, found = resolution.seen, resolution.found
    fence = fence_in_force(store, node, seen, found.reference if found else None)
    latest.check_fence(fence, seen.pointer, hint="This process must stop")
    target = found.as_target(node) if found else Target(checkpoint=FRESH)
    not_ours = (rejected for rejected in resolution.rejected if rejected.is_absent or rejected.is_other_work)
    vanished = {rejected.reference for rejected in not_ours}
    named = history_of(store, node, seen.pointer, retention)
    known = next((entry for entry in named if entry.checkpoint == target.checkpoint), None)
    if known is None:
        is_marked = found and node.owns(found.reference) and is_pinned(store, found.home, found.manifest)
        known = msgspec.structs.replace(target, pinned=bool(is_marked))
    kept = tuple(e for e in named if e.checkpoint != target.checkpoint and e.checkpoint not in vanished)
    expired = tuple(reference for reference in seen.expired if reference not in vanished)
    incarnation = latest.fence.marked_on(seen.pointer)
    pointer = Pointer(
        target=known, history=kept, expired=expired, fence=node.attempt, incarnation=incarnation
    )
    return Move(pointer, "restore", seen=seen)


def fence_in_force(store: Store, node: Node, seen: Seen, found: str | None = None) -> int:
    """The fence. Where LATEST tells none, the highest attempt that has committed something in the homes of
    the next few attempts, and of those of which LATEST names a checkpoint, or whose checkpoint is `found`."""
    if seen.fence >= 0:
        return seen.fence
    named = [entry.checkpoint for entry in (seen.pointer.retained if seen.pointer else ())]
    places = node.of_attempts([*named, found] if found else named)
    later = (place.home for place in places if place.id.attempt > node.attempt)
    return newest_attempt(store, dict.fromkeys((*node.later_homes(), *later)), node.lineage)


def history_of(
    store: Store, node: Node, pointer: Pointer | None, retention: Retention | None = None
) -> list[Target]:
    """All checkpoints that can be chosen from, newest first, in whatever state LATEST is.

    A machine-written LATEST lists them. A hand edit may have dropped any of them, and has dropped the
    target that stood there; an absent or damaged LATEST lists none. Then the homes are listed, and the
    manifests give the scores; an edited history adds checkpoints that are not in the homes of this node.
    """
    if pointer is not None and not pointer.edited:
        return list(pointer.retained)
    known = pointer.history if pointer else ()
    expired = set(pointer.expired if pointer else ())
    stock = take_stock(
        store, node.root, node.own_homes(store), node.lineage, (retention or Retention()).score
    )
    named = {entry.checkpoint: entry for entry in stock}
    for entry in known:
        there = named.get(entry.checkpoint)
        if there is not None:  # the marker counts, and the manifest, not what is written here
            score = entry.score if there.score is None else there.score
            published_at = entry.published_at or there.published_at
            named[entry.checkpoint] = msgspec.structs.replace(
                there, published_at=published_at, score=score, unknown=entry.unknown
            )
        elif not node.owns(entry.checkpoint):
            named[entry.checkpoint] = entry
    kept = (entry for entry in named.values() if entry.checkpoint not in expired)
    return sorted(kept, key=lambda entry: (entry.attempt, entry.seq), reverse=True)


def with_the_markers(store: Store, node: Node, latest: Latest, before: Seen, seen: Seen) -> Seen:
    """Look at the markers once more after a move, and let LATEST repeat them; LATEST as it is then.

    A pin changes no edited LATEST, an unpin also none that does not name the checkpoint. So a move wins
    beside them with markers that it listed before. What LATEST named before the move keeps its flag. Of an
    absent or damaged LATEST nothing is looked at: a pin and an unpin write it.

    Args:
        before: LATEST before the move; `seen` is LATEST after it.
    """
    old, ours = before.pointer, seen.pointer
    if old is None or ours is None:
        return seen
    known = set() if old.edited else {target.checkpoint for target in old.retained}

    def decide(seen: Seen) -> Move | None:
        pointer = seen.pointer
        if pointer is None or pointer.edited or _has_passed(ours, pointer):
            return None
        pinned_in = cache(lambda home: committed(store, home).pinned)

        def repeated(target: Target) -> Target:
            place = node.root.manifest_at(target.checkpoint)
            if place is None or target.checkpoint in known or not node.owns(target.checkpoint):
                return target
            return msgspec.structs.replace(target, pinned=place.id in pinned_in(place.home))

        target, history = repeated(pointer.target), tuple(map(repeated, pointer.history))
        flagged = msgspec.structs.replace(pointer, target=target, history=history)
        return None if flagged == pointer else Move(flagged, "pin")

    return latest.update(decide, seen).seen


def _has_passed(ours: Pointer, now: Pointer) -> bool:
    """Whether the node has passed to another attempt, incarnation or person since our move."""
    return (ours.fence, ours.incarnation, ours.held) != (now.fence, now.incarnation, now.held)
