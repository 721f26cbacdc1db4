"""Mutants of the protocol's rules: each breaks one rule by one line, and a world finds it.

`make mutants` applies each to a copy of the package, and explores the worlds that are named with it.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """`old` stands once in `file`, below `ckptptr/`; `new` takes its place. `rule` is what it breaks."""

    rule: str
    file: str
    old: str
    new: str
    worlds: tuple[str, ...]


MUTANTS = [
    Mutant(
        "6.2: a swap replaces exactly what was read",
        "protocol/latest.py",
        "return self._store.replace(self.key, body, token)",
        "return self._store.replace(self.key, body, self._store.read(self.key)[1])",
        ("a zombie saves", "siblings add files"),
    ),
    Mutant(
        "6.4: a move that others made is lost",
        "protocol/latest.py",
        "return Swap(False, found)",
        "return Swap(True, found)",
        ("a sweep and a person who chooses",),
    ),
    Mutant(
        "5.3: below the fence by the attempt",
        "protocol/fence.py",
        "return max(attempt, self._highest) > self.attempt or self.has_lost(pointer)",
        "return max(attempt, self._highest) > self.attempt + 1 or self.has_lost(pointer)",
        ("a zombie saves", "a zombie goes on"),
    ),
    Mutant(
        "5.3: below the fence by the incarnation",
        "protocol/fence.py",
        "return self._has_lost or (self._has_taken_over and self.is_of_another_incarnation(pointer))",
        "return False",
        ("an attempt starts in place again",),
    ),
    Mutant(
        "5.3: an incarnation that is listed as a predecessor had the node",
        "protocol/fence.py",
        "self._has_taken_over |= self.incarnation in (pointer.incarnation, *pointer.predecessors)",
        "self._has_taken_over |= self.incarnation == pointer.incarnation",
        ("an attempt starts in place again",),
    ),
    Mutant(
        "5.3: LATEST lists the incarnation that is replaced",
        "protocol/latest.py",
        "had = (before.incarnation, *before.predecessors)",
        "had = before.predecessors",
        ("an attempt starts in place again",),
    ),
    Mutant(
        "8: an adopt checks the fence",
        "protocol/adopt.py",
        'latest.check_fence(fence, seen.pointer, hint="This process must stop")',
        "pass",
        ("a zombie restores what a person chose",),
    ),
    Mutant(
        "5.5.3: a publish checks the fence",
        "protocol/publish.py",
        "self.publisher.latest.check_fence(pointer.fence, pointer, hint=hint)",
        "pass",
        ("a zombie saves",),
    ),
    Mutant(
        "5.5.1: a save leaves a held LATEST",
        "protocol/publish.py",
        "if seen.is_held:  # the hold may be over",
        "if False:  # the hold may be over",
        ("a sweep and a person who chooses", "a release and a save"),
    ),
    Mutant(
        "5.5.1: a save looks again whether LATEST is still held",
        "protocol/publish.py",
        "if seen.is_held and seen is self.held:",
        "if seen.is_held:",
        ("a release and a save",),
    ),
    Mutant(
        "5.5.4: a sibling's newer checkpoint stays the target",
        "protocol/publish.py",
        "return is_siblings and pointer.target.seq > entry.seq",
        "return False",
        ("parts of two steps at once",),
    ),
    Mutant(
        "5.5.4: the fence is our attempt",
        "protocol/publish.py",
        "fence=publisher.node.attempt,",
        "fence=pointer.fence,",
        ("a zombie saves", "a zombie goes on"),
    ),
    Mutant(
        "5.5.2: a publish keeps what was named",
        "protocol/publish.py",
        "named = [entry, *before]",
        "named = [entry, *before[1:]]",
        ("a zombie saves", "siblings add files"),
    ),
    Mutant(
        "5.1: a sibling's files are merged",
        "session/rebase.py",
        "theirs = sibling(self.session, seen)",
        "theirs = None",
        ("siblings add files",),
    ),
    Mutant(
        "5.1: in a second rebase, the checkpoint merged before is what ours was built on",
        "session/rebase.py",
        "self._merged.extend([theirs] if theirs else [])",
        "pass",
        ("siblings go on",),
    ),
    Mutant(
        "5, content: a sibling's checkpoint is the current content",
        "session/save.py",
        "theirs = sibling(session, seen)",
        "theirs = None",
        ("siblings add files", "siblings go on"),
    ),
    Mutant(
        "5.4: a manifest that stands there is not another's",
        "protocol/once.py",
        "return store.read(key, limit or len(body) + 1)[0]",
        "store.read(key, limit or len(body) + 1); raise last",
        ("siblings add files", "parts of two ranks"),
    ),
    Mutant(
        "5.4: the next set is named create-only",
        "session/parts.py",
        "self._saver.ids.took(named.checkpoint_id)\n        if body == mine:",
        "named = proposed\n        if body == mine:",
        ("parts of two ranks",),
    ),
    Mutant(
        "5.4.6: the checkpoint has the parts of all ranks",
        "session/parts.py",
        "[self._key(named, rank) for rank in range(self.world_size)]",
        "[self._key(named, rank) for rank in range(1, self.world_size)]",
        ("parts of two ranks",),
    ),
    Mutant(
        "5.4.5: what LATEST names by now is confirmed",
        "session/parts.py",
        "if seen.is_proof_of(reference) or reference in seen.expired or is_passed:",
        "if seen.pointer:",
        ("parts of two ranks",),
    ),
    Mutant(
        "7: the target comes before the history",
        "protocol/candidates.py",
        "yield from self._named(target, pointer.target.checkpoint, pointer)",
        "pass",
        ("a zombie goes on", "two ranks restore"),
    ),
    Mutant(
        "8: an adopt swaps with the token that the resolution read",
        "protocol/adopt.py",
        'return Move(pointer, "restore", seen=seen)',
        'return Move(pointer, "restore", seen=latest.read())',
        ("a forward copy and a person", "a text editor and a restore", "a release and a restore"),
    ),
    Mutant(
        "8: an adopt takes the hold off",
        "protocol/adopt.py",
        "target=known, history=kept, expired=expired, fence=node.attempt",
        "target=known, history=kept, held=True, expired=expired, fence=node.attempt",
        ("two ranks restore",),
    ),
    Mutant(
        "8: a forward copy takes the place of its source only",
        "protocol/forward.py",
        "return is_ours and not pointer.held and pointer.target.checkpoint == source.reference",
        "return is_ours and not pointer.held",
        ("a forward copy and a person who releases",),
    ),
    Mutant(
        "8: a forward copy leaves a held LATEST",
        "protocol/forward.py",
        "return is_ours and not pointer.held and pointer.target.checkpoint == source.reference",
        "return is_ours and pointer.target.checkpoint == source.reference",
        ("a forward copy and a person",),
    ),
    Mutant(
        "8: a pinned source stays in the history",
        "protocol/forward.py",
        "history = (pointer.target, *pointer.history) if pointer.target.pinned else pointer.history",
        "history = pointer.history",
        ("a forward copy of a pinned checkpoint",),
    ),
    Mutant(
        "9.2: a publish lists as expired what it releases",
        "protocol/publish.py",
        "listed = dict.fromkeys((*expired, *pointer.expired, *self.orphans))",
        "listed = dict.fromkeys((*pointer.expired, *self.orphans))",
        ("a sweep and a person who pins", "a zombie goes on"),
    ),
    Mutant(
        "9.2: what had expired stays listed until it is gone",
        "protocol/publish.py",
        "listed = dict.fromkeys((*expired, *pointer.expired, *self.orphans))",
        "listed = dict.fromkeys((*expired, *self.orphans))",
        ("a sweep and a text editor",),
    ),
    Mutant(
        "9.1: a pinned checkpoint is kept",
        "protocol/retention.py",
        "stays = target.pinned or (wanted and room > 0)",
        "stays = wanted and room > 0",
        ("a sweep and a person who pins",),
    ),
    Mutant(
        "9.4: LATEST is read again before a deletion",
        "protocol/sweep.py",
        "return delete(store, node, [reference for reference in expired_before if reference in still])",
        "return delete(store, node, list(expired_before))",
        ("a late sweep, one line and a restore",),
    ),
    Mutant(
        "9.4: nothing is deleted while LATEST is held",
        "protocol/sweep.py",
        "        return ()  # a person may be choosing right now, in whatever words",
        "        pass",
        ("a late sweep and a text editor",),
    ),
    Mutant(
        "9.4.3: nothing that a surviving manifest references is deleted",
        "protocol/sweep.py",
        "live = _objects(m for checkpoint, m in manifests.items() if checkpoint not in deleted)",
        "live = set[str]()",
        ("a sweep of what is borrowed",),
    ),
    Mutant(
        "9.3: an orphan is of an attempt below the fence",
        "protocol/sweep.py",
        "return checkpoint.attempt < pointer.fence",
        "return True",
        ("a sweep by hand and a save",),
    ),
    Mutant(
        "10: `use` refuses what has expired",
        "protocol/choose.py",
        "        self._refuse_expired(found, seen)\n        Listed(self.store)(found)",
        "        Listed(self.store)(found)",
        ("a drop and a choice", "a sweep by hand and a choice"),
    ),
    Mutant(
        "10: `use` keeps what it replaces in the history",
        "protocol/choose.py",
        "others = [entry for entry in named if entry.checkpoint != target.checkpoint]",
        "others = list[Target]()",
        ("a sweep and a person who chooses",),
    ),
    Mutant(
        "10: a choice keeps the fence",
        "protocol/choose.py",
        "return seen.fence if seen.fence >= 0 else max(attempts, default=0)",
        "return 0",
        ("a zombie, its successor and a person",),
    ),
    Mutant(
        "10: `release` keeps the fence",
        "protocol/choose.py",
        "target=target, history=tuple(others), fence=self._fence(seen, named), held=held, note=note",
        "target=target, history=tuple(others), fence=0, held=held, note=note",
        ("a zombie, its successor and a person",),
    ),
]
