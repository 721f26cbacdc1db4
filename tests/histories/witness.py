"""A witness of all that happens to the bucket, who knows the rules and says when one is broken.

It sees every write and every deletion as it happens, and who is acting. Each rule has the name that it has in
PROTOCOL.md: a goal of section 1, or a section.

- goal 1: what a save confirmed stays named until retention, or a person, lists it as expired;
- goal 2: a restore returns what was saved under one id, and what a machine wrote into LATEST is whole (unless
  a person brought it there);
- goal 3: a fresh start is only made where nothing was confirmed, or a person asked for it;
- goal 4: the fence never goes down while machines write, an incarnation that lost the node never has it
  again, and no save of an older attempt becomes the target;
- goal 5: none but a restore and a person moves a held LATEST, and the restore takes what the person meant;
- section 5, step 5: a save moves LATEST to something new, and leaves a newer sibling's as the target;
- section 6: no machine leaves a LATEST that is lost or not sealed;
- section 8: a restore moves LATEST only where it was held, lost or broken; a forward copy takes the place of
  its source;
- section 9: what is pinned is there; a sweep deletes nothing that it saw named, and nothing if it saw a hold;
  an expired checkpoint is never named again, and listed until it is gone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import xxhash
from msgspec.structs import replace

from ckptptr.errors import NotFoundError
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.names import MANIFESTS, CheckpointId
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.resolve import Resolution
from tests.helpers import Interleaved, World, id_of


@dataclass
class Witness:
    """What was seen so far.

    Attributes:
        keep: how many checkpoints every retention keeps at least.
        is_fair: conditional writes hold; else an update of LATEST may be lost, and only what is restored is
            judged.
        acting: who acts at the moment: `save`, `restore`, `sweep`, `forward copy`, `use`, `pin`, `edit`, ...
        states: every LATEST there ever was, in order.
        contents: of every checkpoint whose commit was seen, by id; None where it was broken even then.
        committed: of each of them, the place in `states` of LATEST as it was then.
        excused: references that may be broken although LATEST names them, since a person named them
            when they were going, or a rebuilt history has what nobody had published.
        pinned: what must be there.
        expired_ever: what some LATEST listed as expired.
        foreign: ids of what another node has, which retention only takes out of the history.
        wrong: the first rule that was broken, by its name and in words.
    """

    world: World
    keep: int = 1
    is_fair: bool = True
    acting: str = ""
    states: list[Seen] = field(default_factory=lambda: [Seen()])
    contents: dict[str, dict[str, str] | None] = field(default_factory=dict)
    committed: dict[str, int] = field(default_factory=dict)
    excused: set[str] = field(default_factory=set)
    pinned: set[str] = field(default_factory=set)
    named_ever: set[str] = field(default_factory=set)
    expired_ever: set[str] = field(default_factory=set)
    foreign: frozenset[str] = frozenset()
    owners: set[tuple[int, str]] = field(default_factory=set)
    wrong: str = ""

    def note(self, rule: str, problem: str) -> None:
        self.wrong = self.wrong or f"{rule}: {problem} (by {self.acting or 'nobody'})"

    def saw(self, op: str, key: str) -> None:
        """A request was carried out."""
        if key == self.world.latest_key or self.world.latest_key in key.split():
            self._saw_latest()
        elif op in ("create", "upload") and f"/{MANIFESTS}/" in key and key.endswith(".json"):
            self._saw_commit(key)
        elif op == "delete":
            self._look_at_the_named()
            self.look_at_the_pinned()

    def _saw_commit(self, key: str) -> None:
        reference = self.world.node(0).root.ref(key)
        self.committed.setdefault(id_of(reference), len(self.states) - 1)
        try:
            self.contents[id_of(reference)] = self.world.content(reference)
        except NotFoundError:
            self.contents[id_of(reference)] = None
        else:
            self._judge_parts(reference)

    def _judge_parts(self, reference: str) -> None:
        """What ranks saved as parts of one step is there as a whole, or not at all."""
        shares = {
            name: text for name, text in (self.contents[id_of(reference)] or {}).items() if "-of-" in name
        }
        size = next(iter(shares), "").rpartition("-")[2]
        whole = {f"rank{rank}-of-{size}" for rank in range(int(size or 0))}
        if shares.keys() != whole or len({*shares.values()}) > 1:
            self.note("goal 2", f"{reference} is a mix of parts: {shares}")

    def _saw_latest(self) -> None:
        before, now = self.states[-1], self.world.seen()
        if now.token == before.token:
            return
        self.states.append(now)
        if now.pointer is None or now.pointer.edited:
            if self.acting != "edit":
                self.note("section 6", "a machine has left a LATEST that is lost or not sealed")
            elif now.pointer is not None:
                self._excuse_if_going(before, now.pointer)
            return
        if self.is_fair:
            self._judge_move(before, now.pointer)
        named = {target.checkpoint for target in now.pointer.retained}
        if before.pointer is None or before.pointer.edited:
            # Found in a listing: nobody had published them, or the list of what has expired was lost.
            self.excused |= (named - self.named_ever) | (named & self.expired_ever)
        self.named_ever |= named
        self.expired_ever |= {*now.pointer.expired}
        self._look_at_the_named()
        both = {target.checkpoint for target in now.pointer.retained} & set(now.pointer.expired)
        if both and self.is_fair:
            self.note("section 9", f"{both} are named and doomed")

    def was_held_since_its_commit(self, reference: str) -> bool:
        """Whether a save may have said that a person holds LATEST."""
        return any(seen.is_held for seen in self.states[self.committed[id_of(reference)] :])

    def _judge_move(self, before: Seen, now: Pointer) -> None:
        self._judge_fence(before, now)
        self._judge_history(before, now)
        judge = {"save": self._judge_save, "restore": self._judge_restore, "forward copy": self._judge_copy}
        judge.get(self.acting, lambda *_: None)(before, now)

    def _judge_fence(self, before: Seen, now: Pointer) -> None:
        if now.fence < before.fence:
            self.note("goal 4", f"the fence went from {before.fence} down to {now.fence}")
        if before.pointer is None or before.pointer.edited:
            self.owners.clear()  # whose it was is forgotten with it
        elif now.incarnation != before.pointer.incarnation and (now.fence, now.incarnation) in self.owners:
            self.note("goal 4", f"{now.incarnation} of attempt {now.fence} has taken the node back")
        self.owners.add((now.fence, now.incarnation))

    def _judge_history(self, before: Seen, now: Pointer) -> None:
        """What was named is named still, or listed as expired; what had expired is so until it is gone."""
        old = before.pointer
        if old is None or old.edited:
            return
        was = {target.checkpoint: target for target in old.retained if not target.is_fresh}
        named, listed = {target.checkpoint for target in now.retained}, {*now.expired}
        if again := named & {*old.expired}:
            self.note("section 9", f"{again} had expired and is named again")
        left = was.keys() - named
        if self.acting == "forward copy":
            left -= set() if old.target.pinned else {old.target.checkpoint}
        elif self.acting == "restore":
            left -= {name for name in left if not self.world.is_whole(name)}
        if self.acting == "save":
            left -= {name for name in left if id_of(name) in self.foreign}
        if lost := left - listed:
            self.note("goal 1", f"{lost} was named, and is neither named nor expired")
        expired = left & listed
        if any(self._is_pinned(was[name]) for name in expired):
            self.note("section 9", f"{expired} has expired, and is pinned")
        is_by_retention = self.acting == "save" and len(now.retained) >= self.keep
        if expired and not is_by_retention and self.acting not in ("drop", "rollback"):
            self.note("goal 1", f"{expired} has expired, and {len(now.retained)} are kept")
        for name in {*old.expired} - listed - named:
            if self.acting != "restore" and self._is_left(name):
                self.note("section 9", f"{name} is not deleted, and not listed as expired any more")

    def _is_pinned(self, target: Target) -> bool:
        """`drop` asks the marker. LATEST, which all others ask, can still say what a marker said that is
        deleted: a restore was killed before it looked again."""
        if self.acting != "drop":
            return target.pinned
        return bool(self.world.find(f"^{re.escape(self.world.key_of(target.checkpoint)[:-5])}.pin$"))

    def _is_left(self, reference: str) -> bool:
        key = self.world.key_of(reference)
        return bool(self.world.find(f"^{re.escape(key)}$")) and not self.world.find(
            f"^{re.escape(key.removesuffix('.json'))}.pin$"
        )

    def _excuse_if_going(self, before: Seen, now: Pointer) -> None:
        """A text editor can name what a sweep is deleting: section 11."""
        meant = self._meant(now)
        if before.pointer is None or before.pointer.find(meant) is None:
            self.excused.add(meant)

    def judge_sweep(self, look: Seen, key: str) -> None:
        """A manifest is deleted by a sweep that last saw LATEST as `look`."""
        reference = self.world.node(0).root.ref(key)
        if look.pointer is None or reference not in self.named_ever | self.expired_ever:
            return
        if look.is_held or look.pointer.find(reference) is not None:
            self.note(
                "section 9", f"a sweep deletes {reference} after it saw a LATEST that is held or names it"
            )

    def judge_restored(
        self, first: int, resolution: Resolution, content: dict[str, str] | None, *, may_be_fresh: bool
    ) -> None:
        """What a restore returned: what LATEST said at some moment of it, or what it walked back to.

        Args:
            first: the place in `states` of LATEST as it was when the restore began.
            may_be_fresh: nothing was confirmed that it could find.
        """
        found, states = resolution.found, self.states[first:]
        targets = [seen.pointer.target if seen.pointer else None for seen in states]
        if found is None:
            if not may_be_fresh and not any(target is not None and target.is_fresh for target in targets):
                self.note("goal 3", f"a fresh start: {resolution}")
            return
        said = {target.checkpoint for target in targets if target is not None}
        copied = (found.manifest.copied_from if found.manifest else None) or ""
        is_said = any(name in found.reference or name in copied for name in said)
        if self.is_fair and not (is_said or None in targets or resolution.rejected):
            self.note("section 7", f"{found.reference} was restored, LATEST said {said}")
        if content != self.contents[id_of(found.reference)]:
            self.note("goal 2", f"{content} was restored from {found.reference}")

    def has_outlived(self, attempt: int, first: int) -> bool:
        """Whether a later attempt has had the node, LATEST was lost in one of the states since `first`, and
        nothing of `attempt` and those before is left that was ever named: section 11."""
        is_superseded = any(seen.fence > attempt for seen in self.states)
        is_lost = any(seen.pointer is None for seen in self.states[first:])
        of_node = (name for name in self.named_ever if id_of(name) not in self.foreign)
        names = (name for name in of_node if name.endswith(".json"))
        earlier = (name for name in names if CheckpointId.parse(id_of(name)).attempt <= attempt)
        return is_superseded and is_lost and not any(self.world.is_whole(name) for name in earlier)

    def _judge_save(self, before: Seen, now: Pointer) -> None:
        if before.is_held:
            self.note("goal 5", "a save has moved a held LATEST")
        if now.fence != max(now.fence, before.fence) or now.held:
            self.note("section 5, step 5", "a save has left a fence that is not its own, or a hold")
        if before.pointer is None or now.target.checkpoint == before.pointer.target.checkpoint:
            return
        if now.target.checkpoint in self.named_ever - self.excused:
            self.note("section 5, step 5", f"a save has moved LATEST back to {now.target.checkpoint}")
        old, incarnations = before.pointer.target, (before.pointer.incarnation, now.incarnation)
        is_siblings = old.attempt == now.target.attempt == now.fence == before.fence
        is_siblings = is_siblings and not any(id_ in old.checkpoint for id_ in self.foreign)
        if is_siblings and incarnations[0] == incarnations[1] and now.target.seq < old.seq:
            self.note("section 5, step 5", f"a save put {now.target.checkpoint} before a newer sibling's")
        if _age(now.target) < (before.fence, 0):
            self.note("goal 4", f"a save of an older attempt than {before.fence} became the target")

    def _judge_restore(self, before: Seen, now: Pointer) -> None:
        if now.held:
            self.note("section 8", "a restore has left a hold")
        old = before.pointer
        if old is None:
            return
        repeated = replace(now.target, pinned=old.target.pinned)  # which the marker says
        is_taken_over = (now.fence, repeated) == (old.fence, old.target)
        if not (old.held or is_taken_over) and self._may_be_followed(old):
            self.note("section 8", "a restore has moved a LATEST that could be followed")
        if old.held and now.target.checkpoint != self._meant(old) and self._is_good(old):
            self.note("goal 5", f"{old.target.checkpoint} was chosen, {now.target.checkpoint} taken")

    def _may_be_followed(self, pointer: Pointer) -> bool:
        return pointer.target.is_fresh or self.world.is_whole(pointer.target.checkpoint)

    def _judge_copy(self, before: Seen, now: Pointer) -> None:
        old = before.pointer
        copied = self.world.manifest(now.target.checkpoint).copied_from
        if old is None or old.held or copied != old.target.checkpoint:
            self.note("section 8", f"a copy of {copied} took the place of {old}")

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
        if pointer is None or pointer.edited or not self.is_fair:
            return
        for target in pointer.retained:
            name = target.checkpoint
            if name.endswith(".json") and name not in self.excused and not self.world.is_whole(name):
                self.note("goal 2", f"LATEST names {name}, which is broken")

    def look_at_the_pinned(self) -> None:
        for reference in self.pinned:
            if not self.world.is_whole(reference):
                self.note("section 9", f"{reference} was pinned, and is gone")


def _age(target: Target) -> tuple[int, int]:
    checkpoint = CheckpointId.parse(id_of(target.checkpoint))
    return checkpoint.attempt, checkpoint.seq


class Witnessed(Interleaved):
    """A store whose requests a witness sees.

    Attributes:
        requests: how many it has seen.
        digest: of what they were, in their order.
    """

    witness: Witness
    requests = 0
    digest = ""

    def _let_act(self, when: str, op: str, key: str) -> None:
        if when == "after":
            self.requests += 1
            said = f"{self.digest} {self.witness.acting} {op} {key}".replace(self.witness.world.bucket, "")
            self.digest = xxhash.xxh3_64_hexdigest(said.encode())
        if when == "after" and op in ("create", "replace", "upload", "delete"):
            self.witness.saw(op, key)
