"""What the next attempt would restore, and why: the resolver of a real restore, from outside.

It reads manifests, compares the listed size of each file, fetches no payload and moves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ckptptr.errors import CkptptrError, NotFoundError, StoreUnavailableError
from ckptptr.inspect import shapes
from ckptptr.inspect.describe import as_named, checkpoint_by_name, checkpoint_of, engine_of, latest_of
from ckptptr.inspect.sentences import held_with
from ckptptr.inspect.target import Here
from ckptptr.protocol.candidates import Found, Verdict
from ckptptr.protocol.listed import Listed
from ckptptr.protocol.pointer import Target
from ckptptr.protocol.resolve import Rejected, Resolution, Resolver
from ckptptr.stores.port import Guarantee
from ckptptr.transfer.pool import run_all

ALTERNATIVES = 3
"""How many good candidates after the chosen one are shown."""


NO_HOMES = (
    "LATEST names checkpoints, but this node has no home here. If this is a copy, the homes were not copied:"
    " copy the whole root, not only `_ckptptr/`. Else the homes were deleted."
)


def has_homes(here: Here) -> bool:
    """Whether any home of the node has an object."""
    homes = run_all(lambda home: any(True for _ in here.store.list(home)), here.node.own_homes(here.store))
    return any(homes)


def explain(here: Here, accept: Listed | None = None) -> shapes.Show:
    """Resolve as a restore does.

    Raises: see `Resolver.resolve`.
    """
    accept = accept or Listed(here.store)
    resolution = Resolver(here.candidates, here.latest).resolve(accept)
    return _Explanation(here, resolution, accept).as_shape()


_VERDICTS: dict[Verdict, shapes.Verdict] = {
    Verdict.POINTER: "pointer",
    Verdict.HISTORY: "history",
    Verdict.WALKBACK: "walkback",
    Verdict.ORIGIN: "origin",
    Verdict.PLAIN: "plain",
    Verdict.FRESH: "fresh",
}


class _Explanation:
    """One resolution, as a shape with sentences."""

    def __init__(self, here: Here, resolution: Resolution, accept: Listed) -> None:
        self._here = here
        self._accept = accept
        self._resolution = resolution
        self._pointer = resolution.seen.pointer
        self._aimed_at = self._meant()

    def as_shape(self) -> shapes.Show:
        resolution = self._resolution
        candidates = [self._rejected(rejected) for rejected in resolution.rejected]
        taken = self._found(resolution.found, "taken") if resolution.found else None
        if taken is not None:
            candidates += [taken, *self._alternatives()]
        return shapes.Show(
            node=self._here.url,
            as_attempt=self._here.node.attempt,
            verdict=_VERDICTS[resolution.verdict],
            why=self._why(taken),
            warnings=[*self._warnings(taken)],
            checkpoint=taken.checkpoint if taken else None,
            latest=latest_of(self._here, resolution.seen),
            candidates=candidates,
            **engine_of(self._here),
        )

    def _meant(self) -> frozenset[str]:
        """The references that the target of LATEST may mean: a person may have written an id or a folder."""
        pointer = self._pointer
        if pointer is None or pointer.target.is_fresh:
            return frozenset()
        name = pointer.target.checkpoint
        expanded = self._here.candidates.named(name, pointer) if pointer.edited else ()
        return frozenset({name, *(candidate.reference for candidate in expanded)})

    def _why(self, taken: shapes.Candidate | None) -> str:
        pointer = self._pointer
        starts_fresh = pointer is not None and pointer.target.is_fresh
        if pointer is not None and (starts_fresh or (taken is not None and taken.source == "latest")):
            if not pointer.held:
                return "LATEST asks for it" if starts_fresh else "LATEST names it"
            by_command = f"with `ckptptr {held_with(pointer.moved_with)}`"
            return f"a person chose it, {'by editing LATEST' if pointer.edited else by_command}"
        if taken is None:
            return "nothing that can be restored was found"
        return self._why_past_latest(taken)

    def _why_past_latest(self, taken: shapes.Candidate) -> str:
        if taken.source == "history":
            return "what LATEST names cannot be restored, and this is the next in its history"
        if taken.source == "doomed":
            return "nothing else can be restored; it is expired, but not deleted yet"
        state = "names nothing that can be restored"
        if self._pointer is None:
            state = "is damaged" if self._resolution.seen.damage else "is absent"
        return f"LATEST {state}, and this is the newest in the homes of the attempts"

    def _warnings(self, taken: shapes.Candidate | None) -> Iterator[str]:
        here, found = self._here, self._resolution.found
        if found is not None and found.manifest is None:
            yield "It is a plain folder without digests: its content cannot be verified."
        if found is not None and found.manifest is not None:
            difference = here.node.lineage.differs_from(found.manifest.lineage)
            if difference:
                yield f"It is used because LATEST names it, although {difference}."
        if here.is_alone:
            yield "This is a home alone, without its node. A run begins from it with CKPTPTR_SEED."
        if taken is None and self._pointer is not None and self._pointer.retained and not has_homes(here):
            yield NO_HOMES
        is_asked_for = self._pointer is not None and self._pointer.target.is_fresh
        if here.is_flyte and not is_asked_for and (taken is None or taken.source in ("homes", "doomed")):
            yield (
                "In recover mode Flyte also tells the attempt the checkpoints of another execution"
                " (--prev-checkpoint). They cannot be seen from here."
            )
        if here.store.guarantee is Guarantee.LAST_WRITER_WINS:
            yield "This store has no compare-and-swap: of two that write LATEST at once, the last one wins."

    def _named(self, reference: str) -> Target | None:
        return self._pointer.find(reference) if self._pointer else None

    def _source(self, reference: str) -> shapes.Source:
        if reference in self._aimed_at or reference == self._here.latest.url:
            return "latest"
        if self._named(reference):
            return "history"
        return "doomed" if self._pointer and reference in self._pointer.expired else "homes"

    def _found(self, found: Found, outcome: shapes.Outcome) -> shapes.Candidate:
        return shapes.Candidate(
            outcome=outcome,
            reference=found.reference,
            source=self._source(found.reference),
            reason="",
            checkpoint=as_named(checkpoint_of(self._here, found), self._named(found.reference)),
        )

    def _rejected(self, rejected: Rejected) -> shapes.Candidate:
        target = self._named(rejected.reference) or Target(checkpoint=rejected.reference)
        described = checkpoint_by_name(self._here, target)
        return shapes.Candidate(
            outcome="absent" if rejected.is_absent else "rejected",
            reference=rejected.reference,
            source=self._source(rejected.reference),
            reason=rejected.reason.replace(f": {self._here.latest.url}", ""),
            checkpoint=described if described.id else None,
        )

    def _alternatives(self) -> Iterator[shapes.Candidate]:
        """The candidates after the chosen one, without empty homes."""
        passed = {rejected.reference for rejected in self._resolution.rejected}
        if self._resolution.found is not None:
            passed.add(self._resolution.found.reference)
        good = 0
        for candidate in self._here.candidates.after(self._resolution.seen):
            if candidate.reference in passed:
                continue
            passed.add(candidate.reference)
            try:
                found = candidate.load()
                self._accept(found)
            except NotFoundError as error:
                if self._named(candidate.reference):
                    yield self._rejected(Rejected(candidate.reference, error.message, is_absent=True))
                continue
            except StoreUnavailableError as error:
                unanswered = self._rejected(Rejected(candidate.reference, error.message))
                yield msgspec.structs.replace(unanswered, outcome="unknown")
                return
            except CkptptrError as error:
                yield self._rejected(Rejected(candidate.reference, error.message))
                continue
            yield self._found(found, "next")
            good += 1
            if good == ALTERNATIVES:
                return
