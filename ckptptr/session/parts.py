"""Parts: this process saves its share of a checkpoint that several ranks make together.

    named       the set has one id, which the first writer drew
    sent        our files, below that id
    recorded    what we have sent, create-only
    completed   a rank that sees the records of all commits the checkpoint and publishes it

No rank waits for another one before it has recorded its own part. One that dies in between leaves it to the
others to complete the set.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Generic, Literal, TypeAlias, TypeVar, overload

from ckptptr.clock import Patience
from ckptptr.errors import (
    ConflictError,
    IncompleteError,
    InvalidArgumentError,
    NotFoundError,
    PreemptedError,
    StoreUnavailableError,
)
from ckptptr.protocol.inventory import read_manifest
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.manifest import LIMIT, Manifest, plain_metadata, whole_number
from ckptptr.protocol.names import manifest_key, parts_folder, set_key
from ckptptr.protocol.once import create_once
from ckptptr.protocol.parts import Named, Part, assemble, claim_key, claims_in, missing, nonce_of, part_key
from ckptptr.protocol.publish import Fate, Rebased
from ckptptr.session.background_parts import InOrder
from ckptptr.session.content import Change, Content, Saveable, change_of
from ckptptr.session.objects import send
from ckptptr.session.save import Saver, is_unchanged
from ckptptr.session.session import Session
from ckptptr.session.snapshot import snapshot
from ckptptr.stores.port import GLANCE
from ckptptr.transfer.folder import Links
from ckptptr.transfer.pool import run_all

DEADLINE = 600.0
"""How long a rank waits for the parts of the others, in seconds."""
LISTING_EVERY = 4
"""One look at LATEST in this many also lists the parts: the writer that saw all of them may have died."""

_WAITING = Patience(wait=0.1, longest_wait=5.0)
_SHOWN = 10

_Saved = TypeVar("_Saved")
_Meta: TypeAlias = Mapping[str, Any] | None
_Ignore: TypeAlias = str | Iterable[str] | None


class Parts(Generic[_Saved]):
    """One rank's share of the checkpoints that all ranks make together: see `Checkpoints.parts`.

    Any thread may call it.

    Args:
        deadline: seconds that a save waits for the other ranks, from the end of its own upload.
        described: a checkpoint as the caller gets it.
        begin, turn: what every call does first, and what runs a save in its turn.
        round_: the token, where the ranks were told another one than their incarnation.

    Attributes:
        round: the token that the ranks share.
        guard: what each save runs in: an adapter translates errors there.
    """

    def __init__(
        self,
        session: Session,
        saver: Saver,
        rank: int,
        world_size: int,
        *,
        deadline: float,
        described: Callable[[Manifest], _Saved],
        begin: Callable[[], None],
        turn: Callable[[Callable[[], _Saved]], _Saved],
        round_: str = "",
    ) -> None:
        self._session = session
        self._saver = saver
        self._described = described
        self._begin = begin
        self._turn = turn
        self._deadline = deadline
        self._background = InOrder[_Saved](
            session.store.url(session.node.prefix), lambda: session.background.until
        )
        self.rank = rank
        self.world_size = world_size
        self.guard: Callable[[], AbstractContextManager[object]] = nullcontext
        self.round = (
            round_ or session.latest.fence.incarnation or (session.clock.token(12) if world_size == 1 else "")
        )
        if not self.round:
            raise InvalidArgumentError(
                "the ranks of this run share no token, so it is unknown which of them belong together",
                key=session.latest.url,
                hint="Start them by torchrun or as an elastic task, open the checkpoints after "
                "init_process_group or jax.distributed.initialize, or give each of them the same "
                "ckptptr.open(..., attempt=, round=)",
            )

    @overload
    def save(
        self,
        content: Saveable,
        *,
        step: int,
        metadata: _Meta = None,
        block: Literal[True] = True,
        consume: bool = False,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> _Saved: ...
    @overload
    def save(
        self,
        content: Saveable,
        *,
        step: int,
        metadata: _Meta = None,
        block: Literal[False],
        consume: bool = False,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> Future[_Saved]: ...
    @overload
    def save(
        self,
        content: Saveable,
        *,
        step: int,
        metadata: _Meta = None,
        block: bool,
        consume: bool = False,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> _Saved | Future[_Saved]: ...
    def save(
        self,
        content: Saveable,
        *,
        step: int,
        metadata: Mapping[str, Any] | None = None,
        block: bool = True,
        consume: bool = False,
        ignore: str | Iterable[str] | None = None,
        links: Links | None = None,
    ) -> _Saved | Future[_Saved]:
        """Save this rank's files of the checkpoint of `step`; it is confirmed when all ranks have done so.

        The files of all ranks become the whole content. Where several ranks have a file of one path, it must
        be the same file. A rank without files of its own saves an empty folder.

        Args:
            content: as in `Checkpoints.save`; a single file is this rank's whole share.
            step: of the training: the ranks' parts belong together by it.
            metadata: a JSON object; of a key that several ranks give the lowest rank's value counts.
            block: False: return a future as soon as the content is safe from changes. Uploads are in order;
                no save waits for the other ranks' parts of an earlier one.
            consume, ignore, links: as in `Checkpoints.save`.

        Raises: as `Checkpoints.save`.
            IncompleteError: not all ranks have saved their parts within the deadline; names those that are
                missing. Nothing is restored from such a set. The same call again waits again.
            ConflictError: two ranks have saved different files under one path.
            InvalidArgumentError: this rank has saved another content for `step` in this round.
        """
        if block and consume:
            raise InvalidArgumentError("consume=True is for background saves only", hint="Add block=False")
        with self.guard():
            self._begin()
            self._background.raise_failure()
            change = change_of(content, self._session.selection(ignore, links))
            number, plain = whole_number(step, "step"), plain_metadata(metadata or {})
            if block:
                return self._turn(lambda: self._whole(change, number, plain))
            return self._background.run(
                snapshot(change, consume=consume),
                lambda safe: self._contributed(safe, number, plain),
                lambda contributed: self._completed(*contributed),
                self._guarded,
            )

    def contribute(self, content: Saveable, *, step: int, metadata: _Meta = None) -> None:
        """Upload and record this rank's part, and leave it to another rank to complete the checkpoint.

        Raises: as `save`, but for IncompleteError.
        """
        with self.guard():
            self._begin()
            change = change_of(content, self._session.selection(None, None))
            number, plain = whole_number(step, "step"), plain_metadata(metadata or {})
            with self._session.watch("save"):
                self._contributed(change, number, plain)

    def finish(self) -> None:
        """Wait for the saves in the background; raise what one of them failed with.

        Raises:
            PreemptedError: this process is told to end, and one is not done by the deadline.
        """
        is_done = self._background.wait(self._session.background.until)
        self._background.raise_failure()
        if not is_done:
            raise PreemptedError(
                "this process is told to end; a background save of its parts was not done by the deadline",
                key=self._session.latest.url,
            )

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self.guard(), self._session.watch("save"):
            yield

    # The way of a part

    def _whole(self, change: Change, step: int, metadata: dict[str, Any]) -> _Saved:
        with self._session.watch("save"):
            return self._completed(*self._contributed(change, step, metadata))

    def _contributed(self, change: Change, step: int, metadata: dict[str, Any]) -> tuple[Named, float]:
        """Upload our files and record them. The set, and when this began, by `time.monotonic()`."""
        session, began = self._session, time.monotonic()
        session.has_saved.set()
        with session.lock, session.forgetting_on_failure():
            # Its id stays whatever others save meanwhile, so that it must be above all that they have saved.
            before = session.look(again=True)
            named, ours = self._named(before, step)
            if ours is not None:
                self._check_same(ours, change, metadata, step)
            if ours is not None or self._reference(named) in before.expired:
                return named, began
            files = send(session, named.checkpoint_id, [*change.files.values()])
            ours = Part(
                rank=self.rank,
                files=tuple(sorted(files, key=lambda record: record.path)),
                folders=_folders(change),
                metadata=metadata,
            )
            key, body = self._key(named, self.rank), ours.encode()
            if create_once(session.store, session.clock, key, body) != body:
                raise ConflictError(
                    f"another process has saved step {step} as rank {self.rank} of this round",
                    key=session.store.url(key),
                    hint="Give each process a rank of its own",
                )
        return named, began

    def _named(self, before: Seen, step: int) -> tuple[Named, Part | None]:
        """The set of this step, named by us or by the rank that was faster; and our part, if it is there.

        What is recorded must never be uploaded again: it may be confirmed by now.
        """
        session = self._session
        nonce = nonce_of(self.round, step, self.world_size)
        proposed = Named(
            id=str(self._saver.ids.proposed(before, nonce)),
            step=step,
            world_size=self.world_size,
            created_at=session.latest.stamp(),
            created_by=session.author,
            parent=session.parent,
            lineage=session.node.lineage,
        )
        key, mine = set_key(session.node.home, self.round, nonce), proposed.encode()
        body = create_once(session.store, session.clock, key, mine, limit=GLANCE)
        named = Named.decode(body, session.store.url(key))
        self._saver.ids.took(named.checkpoint_id)
        if body == mine:
            return named, None
        try:
            return named, self._read(self._key(named, self.rank))
        except NotFoundError:
            return named, None

    def _check_same(self, ours: Part, change: Change, metadata: dict[str, Any], step: int) -> None:
        """Raises InvalidArgumentError: what we have saved for this step is something else."""
        records = {record.path: record for record in ours.files}
        is_same = records.keys() == change.files.keys() and all(
            is_unchanged(file, records[path]) for path, file in change.files.items()
        )
        if not (is_same and ours.folders == _folders(change) and ours.metadata == metadata):
            raise InvalidArgumentError(
                f"rank {self.rank} has saved something else for step {step}",
                key=self._session.latest.url,
                hint="Save each step once",
            )

    def _key(self, named: Named, rank: int) -> str:
        home, nonce = self._session.node.home, named.checkpoint_id.nonce
        return part_key(home, self.round, nonce, rank, self.world_size)

    def _read(self, key: str) -> Part:
        store = self._session.store
        return Part.decode(store.read(key, LIMIT + 1)[0], store.url(key))

    def _completed(self, named: Named, began: float) -> _Saved:
        """Wait until the checkpoint is confirmed; commit and publish it, if all parts are there.

        Raises:
            IncompleteError: they are not, when the deadline is over.
            SupersededError: a newer attempt has taken over.
        """
        session, looks, waited, claimed, is_deleted = self._session, 0, 0.0, 0, False
        reference = self._reference(named)
        while True:
            is_over = waited >= self._deadline
            if looks % LISTING_EVERY == 0 or is_over:
                keys = [entry.key for entry in session.store.list(self._records(named))]
                absent, claims = missing(keys, self.world_size), claims_in(keys)
                if absent and is_over:
                    raise self._incomplete(named, absent)
                # The rank that claims it reads all parts. Where it seems to be dead, another one does.
                if not absent and (is_over or (claims == claimed and self._claim(named, claims))):
                    confirmed = self._confirm(named, began)
                    if confirmed is not None:
                        return self._described(confirmed)
                    is_deleted = True
                claimed = claims or 1
            looks += 1
            pause = _WAITING.pause(looks, session.clock.jitter())
            session.clock.sleep(pause)
            waited += pause
            seen = session.latest.read()
            session.latest.check_fence(seen.fence, seen.pointer, hint="This process must stop")
            is_passed = is_deleted and self._is_passed(named, seen)
            if seen.is_proof_of(reference) or reference in seen.expired or is_passed:
                return self._described(self._learn(named, seen))
            if is_over:
                raise self._incomplete(named, absent)

    def _claim(self, named: Named, number: int) -> bool:
        """Whether we are the one that commits. Two that do so at once do no harm."""
        try:
            self._session.store.create(claim_key(self._records(named), number), self._session.author.encode())
        except ConflictError:
            return False
        except StoreUnavailableError:  # the reply may be lost
            return True
        return True

    def _confirm(self, named: Named, began: float) -> Manifest | None:
        """Commit the checkpoint of all parts, if no other rank has, and publish it; None if they were deleted
        since they were listed."""
        session = self._session
        try:
            parts = run_all(self._read, [self._key(named, rank) for rank in range(self.world_size)])
        except NotFoundError:
            return None
        whole = assemble(named, parts)
        with session.lock, session.forgetting_on_failure():
            seen = session.look()
            if self._is_deleted(named, seen):
                return None
            published = self._saver.confirm(seen, whole, partial(self._rebase, named))
        self._saver.tell(published, time.monotonic() - began, how=f", in {self.world_size} parts")
        return published.manifest

    def _rebase(self, named: Named, seen: Seen, mine: Manifest) -> Rebased:
        """A checkpoint of all ranks is whole: nothing of another one is merged into it."""
        is_gone = seen.pointer is not None and (
            self._session.publisher.may_be_deleted(seen.pointer, mine) or self._is_deleted(named, seen)
        )
        return Rebased(Fate.CONTAINED if is_gone else Fate.FITS, mine)

    def _is_deleted(self, named: Named, seen: Seen) -> bool:
        """Whether a sweep is deleting the set, or has.

        LATEST lists it until it is gone, and the record that names it goes last. So one of the two tells.
        """
        if self._reference(named) in seen.expired:
            return True
        key = set_key(self._session.node.home, self.round, named.checkpoint_id.nonce)
        try:
            body, _ = self._session.store.read(key, GLANCE)
        except NotFoundError:
            return True
        return Named.decode(body, self._session.store.url(key)).id != named.id

    def _is_passed(self, named: Named, seen: Seen) -> bool:
        """Whether LATEST names a newer checkpoint of this attempt: a set that was deleted is not needed."""
        if seen.pointer is None:
            return False
        target = seen.pointer.target
        return self._session.publisher.is_in_own_home(target) and target.seq > named.checkpoint_id.seq

    def _learn(self, named: Named, seen: Seen) -> Manifest:
        """The checkpoint that another rank has confirmed, or that is not needed any more."""
        session = self._session
        try:
            manifest = read_manifest(session.store, session.node.home, named.checkpoint_id)
        except NotFoundError:  # confirmed, and deleted by retention since
            return assemble(named, [])
        with session.lock:
            session.seen = seen
            session.content = Content.of(session.publisher.found(manifest))
        return manifest

    def _reference(self, named: Named) -> str:
        node = self._session.node
        return node.root.ref(manifest_key(node.home, named.checkpoint_id))

    def _records(self, named: Named) -> str:
        return parts_folder(self._session.node.home, self.round, named.checkpoint_id.nonce)

    def _incomplete(self, named: Named, absent: list[int]) -> IncompleteError:
        if not absent:
            return IncompleteError(
                f"the parts of step {named.step} were deleted before LATEST named them",
                key=self._session.store.url(self._records(named)),
                hint="Save the step again",
            )
        shown = ", ".join(map(str, absent[:_SHOWN])) + (", ..." if len(absent) > _SHOWN else "")
        return IncompleteError(
            f"step {named.step} is not complete after {self._deadline:.0f} s: of {self.world_size} ranks "
            f"{len(absent)} have not saved ({shown})",
            key=self._session.store.url(self._records(named)),
            hint="See what those ranks do; earlier checkpoints are as they were",
        )


def _folders(change: Change) -> tuple[str, ...]:
    return tuple(sorted({*change.folders}))
