"""What a person does to LATEST: choose a checkpoint, go back, release, pin one.

Each is a decision for `Latest.update`. What is replaced stays in the history.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import msgspec

from ckptptr.clock import Clock
from ckptptr.errors import ConflictError, DamagedError, InvalidArgumentError, NotFoundError
from ckptptr.protocol.adopt import history_of, with_the_markers
from ckptptr.protocol.candidates import Candidates, Found
from ckptptr.protocol.inventory import committed, is_pinned
from ckptptr.protocol.latest import Latest, Move, Seen
from ckptptr.protocol.listed import Listed
from ckptptr.protocol.names import check_utf8, pin_key
from ckptptr.protocol.node import Node
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.publish import EXPIRED_LIMIT
from ckptptr.protocol.references import FRESH, AtManifest
from ckptptr.stores.port import Store


@dataclass(frozen=True, slots=True)
class Chooser:
    """Moves the LATEST of one node on a person's behalf."""

    store: Store
    node: Node
    latest: Latest
    clock: Clock

    def find(self, checkpoint: str, seen: Seen | None = None) -> Found:
        """The checkpoint that a person means: an id, a path, a URI, a folder.

        Raises:
            NotFoundError, DamagedError, InvalidArgumentError: it cannot be restored.
        """
        pointer = (seen or self.latest.read()).pointer
        for candidate in Candidates(self.store, self.node, self.clock).named(checkpoint, pointer):
            return candidate.load()
        raise NotFoundError("no such checkpoint", key=checkpoint)

    def use(self, checkpoint: str, note: str = "") -> tuple[Seen, Seen]:
        """Point LATEST at a checkpoint (or `none`) and hold it until a restore adopts it.

        Returns:
            LATEST before and after.

        Raises:
            InvalidArgumentError: what is named has expired: it may be deleted at any moment.
            NotFoundError, DamagedError: it is not there, or not all of it.
        """

        def hold(seen: Seen, named: list[Target]) -> Pointer:
            return self._naming(checkpoint, seen, named, held=True, note=note)

        check_utf8(note, "the note")
        return self._move(hold, "use")

    def rollback(self, back: int = 1, note: str = "", drop: Collection[str] = ()) -> tuple[Seen, Seen]:
        """Hold LATEST on the checkpoint that is `back` before the one it names: see `earlier`.

        Args:
            drop: references of checkpoints to drop by the same move, see `drop`.

        Raises:
            NotFoundError: the history does not go back so far, or what is named there is gone.
            DamagedError: not all of it is there.
        """

        def hold(seen: Seen, named: list[Target]) -> Pointer:
            before = earlier(self.node, named, self._current(seen, named))
            if not 1 <= back <= len(before):
                count = f"{len(before)} earlier checkpoint{'' if len(before) == 1 else 's'}"
                raise NotFoundError(
                    f"the history of LATEST has {count}, not {back}",
                    key=self.latest.url,
                    hint="`ckptptr log` lists all that can be chosen, also of abandoned branches",
                )
            return self._naming(before[back - 1].checkpoint, seen, named, held=True, note=note)

        check_utf8(note, "the note")
        return self._move(hold, "rollback", drop)

    def passed_by(self, back: int) -> list[Target]:
        """The checkpoints that a rollback moves away from, and that may be dropped then: the target and what
        is between it and the new one; neither pinned ones nor those of other nodes."""
        seen = self.latest.read()
        named = history_of(self.store, self.node, seen.pointer)
        current = self._current(seen, named)
        passed = [*([current] if current else ()), *earlier(self.node, named, current)[: back - 1]]
        return [entry for entry in passed if self.node.owns(entry.checkpoint) and not entry.pinned]

    def droppable(self, checkpoint: str) -> str:
        """The reference of a checkpoint that may be dropped; also of a damaged one.

        Raises:
            NotFoundError: there is no such checkpoint.
            InvalidArgumentError: it is pinned, or in no home of this node, or no checkpoint of ours.
        """
        reference, place = self._placed(checkpoint)
        if place is None or not self.node.owns(reference):
            raise InvalidArgumentError("only a checkpoint of this node can be dropped", key=reference)
        if self._is_marked(place):
            raise InvalidArgumentError("this checkpoint is pinned", key=reference, hint="First `unpin` it")
        return reference

    def drop(self, references: Collection[str]) -> tuple[Seen, Seen]:
        """List checkpoints as expired by hand: they are never named again, and the next sweep deletes them.

        Args:
            references: see `droppable`.

        Raises:
            InvalidArgumentError: LATEST names one of them as its target, or is absent or damaged.
        """

        def without(seen: Seen, named: list[Target]) -> Pointer:
            if seen.pointer is None:
                what = "damaged" if seen.damage else "absent"
                raise InvalidArgumentError(
                    f"LATEST is {what} and cannot list what is dropped",
                    key=self.latest.url,
                    hint="Choose a checkpoint with `use` first",
                )
            target = self._current(seen, named) or Target(checkpoint=FRESH)
            if target.checkpoint in references:
                raise InvalidArgumentError(
                    "LATEST names this checkpoint",
                    key=target.checkpoint,
                    hint="Choose another one first; `rollback --drop` does both",
                )
            return Pointer(
                target=target,
                history=tuple(entry for entry in named if entry.checkpoint != target.checkpoint),
                fence=self._fence(seen, named),
                held=seen.pointer.held,
                note=seen.pointer.note,
            )

        return self._move(without, "drop", references)

    def release(self, checkpoint: str | None = None) -> tuple[Seen, Seen]:
        """Take the hold off LATEST: the next save moves it again. With `checkpoint` it names that instead,
        which undoes a `use` where LATEST was not held before.

        Raises:
            NotFoundError, DamagedError, InvalidArgumentError: what LATEST would name cannot be restored,
                or there is no LATEST.
        """

        def unheld(seen: Seen, named: list[Target]) -> Pointer:
            if checkpoint is None and seen.pointer is not None and not seen.pointer.held:
                return seen.pointer
            name = checkpoint or (seen.pointer.target.checkpoint if seen.pointer else None)
            if name is None:
                kind = DamagedError if seen.damage else NotFoundError
                raise kind(
                    "LATEST names nothing that could be released",
                    key=self.latest.url,
                    hint="Choose with `use`",
                )
            return self._naming(name, seen, named, held=False)

        return self._move(unheld, "release")

    def pin(self, checkpoint: str, note: str = "") -> Found:
        """Keep a checkpoint whatever retention says: a marker beside its manifest, and a flag in LATEST.

        Raises:
            InvalidArgumentError: it has expired, or it is a plain folder (which retention never touches).
            NotFoundError, DamagedError: not all of it is there.
        """
        check_utf8(note, "the note")
        seen = self.latest.read()
        found = self.find(checkpoint, seen)
        if found.manifest is None:
            raise InvalidArgumentError(
                "a plain folder cannot be pinned", key=found.reference, hint="Retention never deletes it"
            )
        self._refuse_expired(found, seen)
        key = pin_key(found.home, found.manifest.checkpoint_id)

        def flag(seen: Seen, named: list[Target]) -> Pointer | None:
            self._refuse_expired(found, seen)
            is_named = any(entry.checkpoint == found.reference for entry in named)
            entries = named if is_named else [*named, found.as_target(self.node)]
            return self._flag(found.reference, seen, entries, pinned=True)

        with self._marked(key, note):
            Listed(self.store)(found)
            self._move(flag, "pin")
        return found

    def unpin(self, checkpoint: str) -> str:
        """Let retention decide again, also about a damaged checkpoint, and about one that expired while only
        its marker kept it. The marker goes after the flag: half done is still pinned.

        Returns:
            Its reference.
        """
        reference, place = self._placed(checkpoint)
        if place is not None:

            def unflag(seen: Seen, named: list[Target]) -> Pointer | None:
                return self._flag(reference, seen, named, pinned=False)

            self._move(unflag, "unpin")
            self.store.delete([pin_key(place.home, place.id)])
            self._move(unflag, "unpin")  # another process may have read the marker before
        return reference

    def is_pinned(self, checkpoint: str) -> bool:
        """Whether there is a marker: one listing."""
        place = self._placed(checkpoint)[1]
        return place is not None and self._is_marked(place)

    def _is_marked(self, place: AtManifest) -> bool:
        return place.id in committed(self.store, place.home).pinned

    def _placed(self, checkpoint: str) -> tuple[str, AtManifest | None]:
        """Its reference and, unless it is a plain folder, its manifest, which may be damaged."""
        pointer = self.latest.read().pointer
        for candidate in Candidates(self.store, self.node, self.clock).named(checkpoint, pointer):
            with suppress(DamagedError):
                candidate.load()
            place = self.node.root.parse(candidate.reference)
            return candidate.reference, place if isinstance(place, AtManifest) else None
        raise NotFoundError("no such checkpoint", key=checkpoint)

    @contextmanager
    def _marked(self, key: str, note: str) -> Iterator[None]:
        """The marker first, since a sweep looks at it; it is deleted again if the pin comes too late, or if
        the checkpoint is not whole."""
        try:
            self.store.create(key, msgspec.json.encode({"note": note, "pinned_at": self.latest.stamp()}))
        except ConflictError:  # pinned before
            yield
            return
        try:
            yield
        except (InvalidArgumentError, NotFoundError, DamagedError):
            self.store.delete([key])
            raise

    def _naming(
        self, checkpoint: str, seen: Seen, named: list[Target], *, held: bool, note: str = ""
    ) -> Pointer:
        """LATEST with another target; what it named stays in the history."""
        target = self._target(checkpoint, seen, named)
        others = [entry for entry in named if entry.checkpoint != target.checkpoint]
        if not held and others and seen.pointer is not None and others[0] is seen.pointer.target:
            # A person had put it first, whenever it was published: back to its place.
            others = _in_its_place(self.node, others[0], others[1:])
        return Pointer(
            target=target, history=tuple(others), fence=self._fence(seen, named), held=held, note=note
        )

    def _current(self, seen: Seen, named: list[Target]) -> Target | None:
        """What LATEST stands for; None for a fresh start, or where there is nothing at all."""
        if seen.pointer is None:
            return named[0] if named else None
        if seen.pointer.target.is_fresh:
            return None
        if not seen.pointer.edited:
            return seen.pointer.target
        return self.find(seen.pointer.target.checkpoint, seen).as_target(self.node)

    def _target(self, checkpoint: str, seen: Seen, named: list[Target]) -> Target:
        if checkpoint.strip().lower() == FRESH:
            return Target(checkpoint=FRESH)
        found = self.find(checkpoint, seen)
        self._refuse_expired(found, seen)
        Listed(self.store)(found)
        known = next((entry for entry in named if entry.checkpoint == found.reference), None)
        if known is not None:
            return known
        pinned = is_pinned(self.store, found.home, found.manifest)
        return msgspec.structs.replace(found.as_target(self.node), pinned=pinned)

    def _flag(self, reference: str, seen: Seen, named: list[Target], *, pinned: bool) -> Pointer | None:
        """LATEST with the pinned flag of one checkpoint set.

        A person's own words are left alone: the adopt that follows them reads the markers.
        """
        entries = [
            msgspec.structs.replace(entry, pinned=pinned) if entry.checkpoint == reference else entry
            for entry in named
        ]
        if seen.pointer is None and entries:
            return Pointer(target=entries[0], history=tuple(entries[1:]), fence=self._fence(seen, entries))
        if seen.pointer is None or seen.pointer.edited or entries == named:
            return seen.pointer
        by_name = {entry.checkpoint: entry for entry in entries}
        target = by_name.pop(seen.pointer.target.checkpoint, seen.pointer.target)
        return Pointer(
            target=target,
            history=tuple(by_name.values()),
            fence=self._fence(seen, entries),
            held=seen.pointer.held,
            note=seen.pointer.note,
        )

    def _fence(self, seen: Seen, named: list[Target]) -> int:
        """The fence in force; where LATEST tells none, the highest attempt of this node that has saved."""
        attempts = (entry.attempt for entry in named if self.node.owns(entry.checkpoint))
        return seen.fence if seen.fence >= 0 else max(attempts, default=0)

    def _newest_newly_named(self, seen: Seen, pointer: Pointer) -> int:
        """The highest attempt that committed what a person names now; -1 if it is in no home of this node.

        It may not have moved LATEST yet. The attempts before it are over, and none of them knows its home: a
        publish of theirs would drop the checkpoint, and not list it as expired.
        """
        known = {entry.checkpoint for entry in (seen.pointer.history if seen.pointer else ())}
        newly = (entry.checkpoint for entry in pointer.retained if entry.checkpoint not in known)
        return max((place.id.attempt for place in self.node.of_attempts(newly)), default=-1)

    def _refuse_expired(self, found: Found, seen: Seen) -> None:
        if found.reference in seen.expired:
            raise InvalidArgumentError(
                "this checkpoint has expired and may be deleted at any moment",
                key=found.reference,
                hint="Choose one that `ckptptr log` does not call expired, or copy this one elsewhere first",
            )

    def _move(
        self, decide: Callable[[Seen, list[Target]], Pointer | None], by: str, drop: Collection[str] = ()
    ) -> tuple[Seen, Seen]:
        """Where `decide` answers with the pointer that it saw, or with None, LATEST stays."""

        def move(seen: Seen) -> Move | None:
            pointer = decide(seen, history_of(self.store, self.node, seen.pointer))
            if pointer is None or pointer is seen.pointer:
                return None
            history = tuple(entry for entry in pointer.history if entry.checkpoint not in drop)
            fence = max(pointer.fence, self._newest_newly_named(seen, pointer))
            pointer = msgspec.structs.replace(pointer, history=history, fence=fence)
            listed = dict.fromkeys((*drop, *seen.expired))
            expired = tuple(reference for reference in listed if not pointer.find(reference))[:EXPIRED_LIMIT]
            incarnation = seen.pointer.incarnation if seen.pointer and seen.fence == fence else ""
            return Move(msgspec.structs.replace(pointer, expired=expired, incarnation=incarnation), by)

        updated = self.latest.update(move)
        before, seen = updated.before, updated.seen
        if seen is not before:
            seen = with_the_markers(self.store, self.node, self.latest, before, seen)
        return before, seen


def earlier(node: Node, named: Iterable[Target], current: Target | None) -> list[Target]:
    """What a rollback goes back through, nearest first.

    The history in its order, but never forward again: newer entries are skipped, since a person moved away
    from them by a `use` or a rollback before this one.
    """
    steps: list[Target] = []
    for entry in named:
        if current is None or (
            entry.checkpoint != current.checkpoint and not _is_newer(node, entry, current)
        ):
            steps.append(entry)
            current = entry
    return steps


def _in_its_place(node: Node, moved: Target, others: list[Target]) -> list[Target]:
    """`others`, with `moved` before the first that is older; at the end where none is."""
    place = next((n for n, entry in enumerate(others) if not _is_newer(node, entry, moved)), len(others))
    return [*others[:place], moved, *others[place:]]


def _is_newer(node: Node, one: Target, other: Target) -> bool:
    """By (attempt, seq) in the homes of this node; what is from elsewhere is older than all of them."""

    def age(target: Target) -> tuple[int, int]:
        return (target.attempt, target.seq) if node.owns(target.checkpoint) else (-1, -1)

    return age(one) > age(other)
