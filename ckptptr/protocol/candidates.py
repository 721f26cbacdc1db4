"""The candidates of a restore, in order, and how each is looked at.

1. LATEST, then its history.
2. Our own home: a container that restarts in place, or an elastic restart, reuses it.
3. The home that the platform named, then those of attempts N-1 ... 0.
4. What has expired and is not deleted yet.
5. Where nothing is this node's own, its origins in turn (the execution it was recovered from, earlier
   attempts of its parent, a seed): of each the LATEST and its history, then the homes.

In each home the newest manifest comes first; a home that has none, nor any payload of ours, but files, is a
plain folder. So is, in Flyte 2, a home that is itself an object. The order is lazy: nothing is listed while
LATEST does its work.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

from ckptptr.clock import Clock
from ckptptr.errors import (
    CkptptrError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    OtherWorkError,
)
from ckptptr.protocol.inventory import committed, describe, object_at, plain_files, read_manifest
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.protocol.manifest import FileRecord, Manifest
from ckptptr.protocol.names import manifest_key
from ckptptr.protocol.node import Node, Origin
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.references import AtManifest, ById, Fresh, Reference, shortened
from ckptptr.stores.port import Guarantee, Store

log = logging.getLogger("ckptptr")


class Verdict(enum.Enum):
    """Where the checkpoint of a restore came from."""

    POINTER = "LATEST"
    HISTORY = "the history of LATEST"
    WALKBACK = "the walk-back through earlier attempts"
    ORIGIN = "another execution, an earlier attempt of the parent, or a seed"
    PLAIN = "a plain folder, unverified"
    FRESH = "a fresh start"


class Trust(enum.Enum):
    """How closely the lineage recorded in a candidate is looked at."""

    CHOSEN = "a person, a seed or recover mode named it: taken, with a word about it"
    NAMED = "LATEST names it: another node of the same execution is a collision of hashes"
    FOUND = "found by path arithmetic: it must be the same work"


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint that can be restored.

    `reference` is how LATEST would name it. `manifest` is None for a plain folder, whose `files`
    have no digests yet. `home` is the key that the objects of `files` are relative to. `origin` says in
    words where it is from, if it is not from this node. `may_not_be_named`: no process may name it in LATEST,
    since it has expired, or is another node's of the same execution; a copy of it may.
    """

    reference: str
    home: str
    files: tuple[FileRecord, ...]
    manifest: Manifest | None = None
    may_not_be_named: bool = False
    origin: str = ""

    def as_target(self, node: Node) -> Target:
        if self.manifest is None:
            return Target(checkpoint=self.reference, bytes=sum(record.size for record in self.files))
        return describe(node.root, self.home, self.manifest)


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of a candidate before it is read.

    Args:
        verdict: what a restore that takes it reports.
        trust: how closely its lineage is looked at.
        expired: the references that LATEST lists as expired. Only a copy of those may be named.
    """

    verdict: Verdict
    trust: Trust
    expired: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something to try. `load` reads it and raises what speaks against it."""

    verdict: Verdict
    reference: str
    load: Callable[[], Found]

    def verdict_on(self, found: Found) -> Verdict:
        """Where the checkpoint came from, now that it is read."""
        if found.manifest is None:
            return Verdict.PLAIN
        return Verdict.ORIGIN if found.origin else self.verdict


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of one node.

    `origin` is set while those of an origin are looked at: its references are relative to its own root,
    and its lineage counts.
    """

    store: Store
    node: Node
    clock: Clock
    origin: Origin | None = None

    def after(self, seen: Seen) -> Iterator[Candidate]:
        """All of them, given what LATEST says (its target must not be a fresh start)."""
        found = Context(Verdict.WALKBACK, Trust.FOUND, frozenset(seen.expired))
        if self.store.guarantee is Guarantee.LAST_WRITER_WINS and not seen.is_held:
            yield from (c for c in self._overtaking(found, seen) if c.reference not in found.expired)
        if seen.pointer is not None:
            yield from self._in_pointer(seen.pointer)
        for home in chain((self.node.home,), self.node.earlier_homes(self.store)):
            context = found if self.node.is_own_home(home) else replace(found, trust=Trust.CHOSEN)
            yield from (c for c in self._in_home(context, home) if c.reference not in found.expired)
        for reference in seen.expired:
            yield from self._named(found, reference)
        yield from self._elsewhere(seen)

    def named(self, text: str, pointer: Pointer | None) -> Iterator[Candidate]:
        """What a person means by `text`."""
        return self._named(Context(Verdict.POINTER, Trust.CHOSEN), text, pointer)

    def _in_pointer(self, pointer: Pointer) -> Iterator[Candidate]:
        trust = Trust.CHOSEN if pointer.held else Trust.NAMED
        target = Context(Verdict.POINTER, trust, frozenset(pointer.expired))
        history = replace(target, verdict=Verdict.HISTORY)
        if self.origin is not None:
            trust = trust if self.origin.lineage else Trust.CHOSEN
            target = history = replace(target, verdict=Verdict.WALKBACK, trust=trust)
        if not pointer.target.is_fresh:
            yield from self._named(target, pointer.target.checkpoint, pointer)
        for entry in pointer.history:
            yield from self._named(history, entry.checkpoint, pointer)

    def _elsewhere(self, seen: Seen) -> Iterator[Candidate]:
        """What the origins have.

        Raises:
            NotFoundError: nothing, in one that is required.
        """
        for unread in self.node.origins:
            looked_at = list[str]()
            origin = self._learnt(unread)
            pointer = self._latest(origin.prefix).pointer if origin.prefix is not None else None
            if pointer is not None and pointer.target.is_fresh:
                log.info("LATEST of %s asks for a fresh start", origin.what)
                return
            for candidate in replace(self, origin=origin)._in_origin(origin, pointer):
                looked_at.append(candidate.reference)
                yield candidate
            if origin.is_required and self._latest(self.node.prefix).token == seen.token:
                raise NotFoundError(
                    f"there is no checkpoint that can be restored in {origin.what}",
                    key=", ".join(dict.fromkeys(looked_at)),
                    hint="Correct it, or take it away to start from nothing",
                )

    def _learnt(self, origin: Origin) -> Origin:
        """The origin, with what its newest manifest tells where the path of its home tells nothing."""
        if origin.prefix is None:
            for manifest in self._manifests(origin):
                learnt = origin.learn(manifest)
                if learnt is not None:
                    return learnt
        return origin

    def _manifests(self, origin: Origin) -> Iterator[Manifest]:
        """The newest readable manifest of each of its homes."""
        for home in origin.homes(self.store, -1):
            for checkpoint in committed(self.store, home).ids:
                try:
                    yield read_manifest(self.store, home, checkpoint)
                except (NotFoundError, DamagedError):
                    continue
                break

    def _in_origin(self, origin: Origin, pointer: Pointer | None) -> Iterator[Candidate]:
        found = Context(Verdict.WALKBACK, Trust.FOUND if origin.lineage else Trust.CHOSEN)
        if origin.checkpoint is not None:
            yield self._at(found, origin.checkpoint)
        if pointer is not None:
            yield from self._in_pointer(pointer)
        fence = pointer.fence if pointer is not None and not pointer.edited else -1
        for home in origin.homes(self.store, fence):
            yield from self._in_home(found, home)
        if origin.lineage is None:
            # All of it is damaged: what it had itself begun from may not be.
            for parent in dict.fromkeys(m.parent for m in self._manifests(origin) if m.parent):
                yield from self._named(found, parent)

    def _latest(self, prefix: str) -> Seen:
        return Latest(self.store, prefix, self.clock, author="").read()

    def _overtaking(self, context: Context, seen: Seen) -> Iterator[Candidate]:
        """Without compare-and-swap an older LATEST may have been written over a newer one."""
        pointer = seen.pointer or Pointer(target=Target(checkpoint=""))
        named = (pointer.fence, pointer.target.seq)
        newer = [
            (checkpoint.age, AtManifest(home, checkpoint))
            for home in self.node.own_homes(self.store)
            for checkpoint in committed(self.store, home).ids
            if (checkpoint.attempt, checkpoint.seq) > named
        ]
        for _, place in sorted(newer, key=lambda pair: pair[0], reverse=True):
            yield self._at(context, place)

    def _in_home(self, context: Context, home: str) -> Iterator[Candidate]:
        """The checkpoints of a home, or the plain folder that it is."""
        ids = committed(self.store, home).ids
        for checkpoint in ids:
            yield self._at(context, AtManifest(home, checkpoint))
        if not ids:
            yield Candidate(context.verdict, self.node.root.ref(home), lambda: self.plain(home))

    def _named(self, context: Context, text: str, pointer: Pointer | None = None) -> Iterator[Candidate]:
        """What `text` names; an id is looked up in `pointer` first."""
        try:
            meant = self._expand(self._parse(text), pointer)
            found = None if isinstance(meant, AtManifest | None) else [*self._in_home(context, meant)]
        except InvalidArgumentError as error:  # also of the store, if no object can have such a name
            yield Candidate(context.verdict, shortened(text), _raising(error))
            return
        if isinstance(meant, AtManifest):
            yield self._at(context, meant)
        elif found is not None:
            yield from found
        else:
            nowhere = NotFoundError("no checkpoint of this node has that id", key=text)
            yield Candidate(context.verdict, text, _raising(nowhere))

    def _parse(self, text: str) -> Reference:
        root = self.origin.root if self.origin else None
        return (root or self.node.root).parse(text)

    def _expand(self, reference: Reference, pointer: Pointer | None) -> AtManifest | str | None:
        """The manifest or the folder that is meant; None for an id that is nowhere."""
        if isinstance(reference, AtManifest):
            return reference
        if isinstance(reference, Fresh):
            raise InvalidArgumentError("a fresh start is not a checkpoint", key="none")
        if not isinstance(reference, ById):
            return reference.folder
        for entry in pointer.retained if pointer else ():
            if reference.id.is_named_by(entry.checkpoint):
                return self._expand(self._parse(entry.checkpoint), None)
        origins = (origin for origin in self.node.origins if not origin.is_required)
        elsewhere = (home for origin in origins for home in origin.homes(self.store, -1))
        likely = self.node.homes_of(reference.id.attempt)
        for home in chain(likely, (self.node.home,), self.node.earlier_homes(self.store), elsewhere):
            if reference.id in committed(self.store, home).ids:
                return AtManifest(home, reference.id)
        return None

    def _at(self, context: Context, place: AtManifest) -> Candidate:
        reference = self.node.root.ref(manifest_key(place.home, place.id))

        def load() -> Found:
            manifest = read_manifest(self.store, place.home, place.id)
            self._check_lineage(reference, manifest, context.trust)
            is_anothers = self.origin is None and self.node.lineage.collides_with(manifest.lineage)
            refused = reference in context.expired or is_anothers
            return Found(reference, place.home, manifest.files, manifest, refused, self._what)

        return Candidate(context.verdict, reference, load)

    @property
    def _what(self) -> str:
        return self.origin.what if self.origin else ""

    def plain(self, folder: str) -> Found:
        """The plain folder that a home is, or the one object, as in stock Flyte 2.

        Raises:
            NotFoundError: it is none.
            DamagedError, InvalidArgumentError, OtherWorkError: it must not be restored.
        """
        files, home = plain_files(self.store, folder), folder
        if not files:
            files, home = object_at(self.store, folder), folder.rpartition("/")[0]
        if not files:
            raise NotFoundError("no checkpoint here", key=self.store.url(folder))
        self.node.root.check_plain(self.store.url(folder))
        if self.origin and self.origin.lineage and self.origin.lineage.version:
            raise OtherWorkError("a plain folder does not say whose work it is", key=self.store.url(folder))
        return Found(self.node.root.ref(folder), home, files, origin=self._what)

    def _check_lineage(self, reference: str, manifest: Manifest, trust: Trust) -> None:
        ours = (self.origin and self.origin.lineage) or self.node.lineage
        theirs = manifest.lineage
        difference = ours.differs_from(theirs)
        if self.origin and self.origin.lineage and not difference:
            difference = ours.is_not_proven_by(theirs)
        if not difference:
            return
        if trust is Trust.CHOSEN:
            log.warning("%s was named, and is taken although %s", reference, difference)
        elif trust is Trust.FOUND or theirs.execution == ours.execution:
            raise OtherWorkError(f"not the same work: {difference}", key=reference)


def _raising(error: CkptptrError) -> Callable[[], Found]:
    def load() -> Found:
        raise error

    return load
