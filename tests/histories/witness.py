"""A witness of all that happens to the bucket, who knows the rules and says when one is broken.

It sees every write and every deletion as it happens, and who is acting. The rules, as plain as they
can be said:

- what LATEST names by a machine's hand is whole (unless a person brought it there);
- a save moves LATEST to something new, a forward copy to a copy of the target, a restore only where
  LATEST was held, lost or broken; none but a restore and a person moves a held LATEST;
- the fence never goes down while machines write, and an incarnation that lost the node never has it again;
- what is pinned is there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ckptptr.errors import NotFoundError
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.names import CheckpointId
from ckptptr.protocol.pointer import Pointer, Target
from tests.helpers import Interleaved, World, id_of


@dataclass
class Witness:
    """What was seen so far.

    Attributes:
        acting: who acts at the moment: `save`, `restore`, `sweep`, `forward copy`, `use`, `pin`, `edit`.
        states: every LATEST there ever was, in order.
        contents: of every checkpoint whose commit was seen, by id; None where it was broken even then.
        excused: references that may be broken although LATEST names them, since a person named them
            when they were going, or a rebuilt history has what nobody had published.
        pinned: what must be there.
        wrong: the first rule that was broken, in words.
    """

    world: World
    acting: str = ""
    states: list[Seen] = field(default_factory=lambda: [Seen()])
    contents: dict[str, dict[str, str] | None] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)
    pinned: set[str] = field(default_factory=set)
    named_ever: set[str] = field(default_factory=set)
    owners: set[tuple[int, str]] = field(default_factory=set)
    wrong: str = ""

    def note(self, problem: str) -> None:
        self.wrong = self.wrong or f"{problem} (by {self.acting})"

    def saw(self, op: str, key: str) -> None:
        """A request was carried out."""
        if key == self.world.latest_key or self.world.latest_key in key.split():
            self._saw_latest()
        elif op == "create" and key.endswith(".json"):
            self._saw_commit(key)
        elif op == "delete":
            self._look_at_the_named()
            self._look_at_the_pinned()

    def _saw_commit(self, key: str) -> None:
        reference = self.world.node(0).root.ref(key)
        try:
            self.contents[id_of(reference)] = self.world.content(reference)
        except NotFoundError:
            self.contents[id_of(reference)] = None

    def _saw_latest(self) -> None:
        before, now = self.states[-1], self.world.seen()
        if now.token == before.token:
            return
        self.states.append(now)
        if now.pointer is None or now.pointer.edited:
            if self.acting != "edit":
                self.note("a machine has left a LATEST that is lost or not sealed")
            return
        self._judge_fence(before, now.pointer)
        judge = {"save": self._judge_save, "restore": self._judge_restore, "forward copy": self._judge_copy}
        judge.get(self.acting, lambda *_: None)(before, now.pointer)
        named = {target.checkpoint for target in now.pointer.retained}
        if before.pointer is None or before.pointer.edited:
            self.excused |= named - self.named_ever  # found in a listing: nobody had published them
        self.named_ever |= named
        self._look_at_the_named()
        both = {target.checkpoint for target in now.pointer.retained} & set(now.pointer.expired)
        if both:
            self.note(f"{both} are named and doomed")

    def _judge_fence(self, before: Seen, now: Pointer) -> None:
        if now.fence < before.fence:
            self.note(f"the fence went from {before.fence} down to {now.fence}")
        if before.pointer is None or before.pointer.edited:
            self.owners.clear()  # whose it was is forgotten with it
        elif now.incarnation != before.pointer.incarnation and (now.fence, now.incarnation) in self.owners:
            self.note(f"the incarnation {now.incarnation} of attempt {now.fence} has taken the node back")
        self.owners.add((now.fence, now.incarnation))

    def _judge_save(self, before: Seen, now: Pointer) -> None:
        if before.is_held:
            self.note("a save has moved a held LATEST")
        if now.fence != max(now.fence, before.fence) or now.held:
            self.note("a save has left a fence that is not its own, or a hold")
        if before.pointer is None or now.target.checkpoint == before.pointer.target.checkpoint:
            return
        if now.target.checkpoint in self.named_ever - self.excused:
            self.note(f"a save has moved LATEST back to {now.target.checkpoint}")
        if _age(now.target) < (before.fence, 0):
            self.note(f"a save of an older attempt than {before.fence} became the target")

    def _judge_restore(self, before: Seen, now: Pointer) -> None:
        if now.held:
            self.note("a restore has left a hold")
        old = before.pointer
        if old is None:
            return
        is_taken_over = (now.fence, now.target) == (old.fence, old.target)
        if not (old.held or is_taken_over) and self._may_be_followed(old):
            self.note("a restore has moved a LATEST that could be followed")
        if old.held and now.target.checkpoint != self._meant(old) and self._is_good(old):
            self.note(f"a person chose {old.target.checkpoint}, a restore took {now.target.checkpoint}")

    def _may_be_followed(self, pointer: Pointer) -> bool:
        return pointer.target.is_fresh or self.world.is_whole(pointer.target.checkpoint)

    def _judge_copy(self, before: Seen, now: Pointer) -> None:
        old = before.pointer
        copied = self.world.manifest(now.target.checkpoint).copied_from
        if old is None or old.held or copied != old.target.checkpoint:
            self.note(f"a copy of {copied} took the place of {old}")

    def _meant(self, pointer: Pointer) -> str:
        """The reference that a person's words mean."""
        text = pointer.target.checkpoint
        if pointer.target.is_fresh:
            return "none"
        found = (name for name in self.world.committed() if text in name)
        return next(found, text)

    def _is_good(self, pointer: Pointer) -> bool:
        meant = self._meant(pointer)
        known = meant == "none" or meant in self.world.committed()
        return known and meant not in self.excused and (meant == "none" or self.world.is_whole(meant))

    def _look_at_the_named(self) -> None:
        pointer = self.states[-1].pointer
        if pointer is None or pointer.edited:
            return
        for target in pointer.retained:
            name = target.checkpoint
            if name.endswith(".json") and name not in self.excused and not self.world.is_whole(name):
                self.note(f"LATEST names {name}, which is broken")

    def _look_at_the_pinned(self) -> None:
        for reference in self.pinned:
            if not self.world.is_whole(reference):
                self.note(f"{reference} was pinned, and is gone")


def _age(target: Target) -> tuple[int, int]:
    checkpoint = CheckpointId.parse(id_of(target.checkpoint))
    return checkpoint.attempt, checkpoint.seq


class Witnessed(Interleaved):
    """A store whose requests a witness sees."""

    witness: Witness

    def _let_act(self, when: str, op: str, key: str) -> None:
        if when == "after" and op in ("create", "replace", "upload", "delete"):
            self.witness.saw(op, key)
