"""Save: upload, commit, publish, and let go of what retention no longer wants."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from ckptptr.clock import isoformat
from ckptptr.errors import CkptptrError, ConflictError, DamagedError, NotFoundError
from ckptptr.protocol.inventory import committed, read_manifest
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.manifest import FileRecord, Manifest
from ckptptr.protocol.merge import merge
from ckptptr.protocol.names import DATA, CheckpointId, manifest_key
from ckptptr.protocol.publish import Fate, Published, Rebased, Standing
from ckptptr.session.background_sweeps import Sweeping
from ckptptr.session.content import Change, Content
from ckptptr.session.session import Session
from ckptptr.transfer.copy import copy_all
from ckptptr.transfer.digest import digest_of
from ckptptr.transfer.plan import Local
from ckptptr.transfer.upload import upload_all
from ckptptr.wording import moved

log = logging.getLogger("ckptptr")

SENDINGS = 3
"""How often a save is sent where siblings that are much faster sweep it before it is published."""


class SweptMeanwhileError(ConflictError):
    """What a save had uploaded, or referred to, is gone: send it again."""


class Saver:
    """Saves for one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._node = session.node
        self._highest_seq: int | None = None
        self._written: set[str] = set()
        self._sweeping = Sweeping(session)

    def save(self, change: Change, step: int | None, metadata: dict[str, Any]) -> Published:
        """Make the content as `change` says into a checkpoint, and confirm it.

        Raises: see `Checkpoints.save`.
        """
        began = time.monotonic()
        self._session.has_saved.set()
        for tried in range(1, SENDINGS + 1):
            try:
                published = self._save(change, step, metadata)
                break
            except SweptMeanwhileError as error:
                if tried == SENDINGS:
                    raise
                log.warning("%s", error)
        saved, standing = published.manifest, published.standing
        took = time.monotonic() - began
        self._session.saves += 1
        self._session.saved_in.append((saved.id, took))
        log.info(
            "saved %scheckpoint %s (%s)%s",
            "" if saved.step is None else f"step {saved.step}, ",
            saved.id,
            moved(saved.total_bytes, took),
            "" if standing is Standing.TARGET else f": {standing.value}",
        )
        return published

    def _save(self, change: Change, step: int | None, metadata: dict[str, Any]) -> Published:
        session = self._session
        with session.lock, self._forgetting_on_failure():
            seen = self._look()
            checkpoint = self._new_id(seen)
            dropped = self._written - set(change.files) if change.replaces else set()
            written = set(change.files) if change.replaces else self._written | set(change.files)
            beside = self._beside(change, dropped, seen)
            files = self._bring(checkpoint, change, beside, seen)
            manifest = Manifest(
                id=str(checkpoint),
                attempt=self._node.attempt,
                seq=checkpoint.seq,
                step=step,
                created_at=isoformat(session.clock.now()),
                created_by=session.author,
                parent=session.parent,
                lineage=self._node.lineage,
                metadata=metadata,
                files=tuple(files.values()),
                folders=tuple(sorted({*change.folders, *beside.folders})),
                total_bytes=sum(record.size for record in files.values()),
            )
            session.publisher.commit(manifest)
            published = session.publisher.publish(
                seen,
                manifest,
                lambda now, mine: self._rebase(now, mine, dropped),
                orphans=self._sweeping.condemned,
                deleted=self._sweeping.swept,
            )
            self._written = written
            self._settle(seen, published)
            return published

    @contextmanager
    def _forgetting_on_failure(self) -> Iterator[None]:
        """After a failure LATEST may be anything: the next save reads it before it uploads."""
        try:
            yield
        except CkptptrError:
            self._session.seen = None
            raise

    def _look(self) -> Seen:
        """LATEST as last seen; read again where that is nothing, or a hold that may be over."""
        session = self._session
        if session.seen is None or session.seen.is_held or session.seen.damage:
            session.seen = session.latest.read()
        hint = "This process must stop; nothing was uploaded"
        session.latest.check_fence(session.seen.fence, session.seen.pointer, hint=hint)
        return session.seen

    def _new_id(self, seen: Seen) -> CheckpointId:
        """A new id, and what becomes of it if nothing does: a later publish condemns it."""
        checkpoint = CheckpointId.new(self._next_seq(seen), self._node.attempt, self._session.clock)
        self._sweeping.begin(self._node.root.ref(manifest_key(self._node.home, checkpoint)))
        return checkpoint

    def _next_seq(self, seen: Seen) -> int:
        """One more than the highest in LATEST, its history, and our own home (listed once)."""
        if self._highest_seq is None:
            ids = committed(self._session.store, self._node.home).ids
            self._highest_seq = max((checkpoint.seq for checkpoint in ids), default=0)
        named = seen.pointer.highest_seq if seen.pointer else 0
        self._highest_seq = max(self._highest_seq, named) + 1
        return self._highest_seq

    def _beside(self, change: Change, dropped: set[str], seen: Seen) -> Content:
        """What the checkpoint consists of beside the files of the change.

        Where a sibling has saved since, its checkpoint is the content that we change: it has all that
        we had confirmed, or something newer. A folder then replaces only what we wrote ourselves.
        """
        session = self._session
        theirs = self._sibling(seen)
        if theirs is not None:
            session.content = self._content_of(theirs)
        elif change.replaces:
            return Content()
        return session.content.beside(change.files, without=dropped)

    def _bring(
        self, checkpoint: CheckpointId, change: Change, beside: Content, seen: Seen
    ) -> dict[str, FileRecord]:
        """The records of the new checkpoint's files, every object of them in our own home."""
        content = self._session.content
        may_refer = content.home == self._node.home and self._is_safe(content.reference, seen)
        records: dict[str, FileRecord] = {}
        send: list[Local] = []
        for path, file in change.files.items():
            before = content.files.get(path) if may_refer else None
            if before is not None and _is_unchanged(file, before):
                records[path] = msgspec.structs.replace(before, mode=file.mode)
            else:
                send.append(file)
        keys = [f"{DATA}/{checkpoint}/{file.path}" for file in send]
        sent = upload_all(
            self._session.store,
            [(file, f"{self._node.home}/{key}") for file, key in zip(send, keys, strict=True)],
        )
        for file, key, (size, digest) in zip(send, keys, sent, strict=True):
            records[file.path] = FileRecord(file.path, key, size, digest, file.mode)
        records |= beside.files if may_refer else self._copy(checkpoint, beside.home, beside.files.values())
        return dict(sorted(records.items()))

    def _copy(
        self, checkpoint: CheckpointId, home: str, records: Iterable[FileRecord]
    ) -> dict[str, FileRecord]:
        """Copy objects, inside the store, to where they belong to `checkpoint`."""
        moved = {r.path: (r, f"{DATA}/{checkpoint}/{r.path}") for r in records}
        try:
            copy_all(
                self._session.store,
                [(f"{home}/{old.object}", f"{self._node.home}/{new}") for old, new in moved.values()],
            )
        except NotFoundError as error:
            raise DamagedError(
                "a file that the current content consists of is gone",
                key=error.key,
                hint="Save the whole folder instead of single files",
            ) from error
        return {path: msgspec.structs.replace(old, object=new) for path, (old, new) in moved.items()}

    def _is_safe(self, reference: str, seen: Seen) -> bool:
        """Whether nobody may delete that checkpoint: LATEST names it, or it is what we committed last
        beside this very LATEST, which a person holds."""
        named = seen.pointer is not None and seen.pointer.find(reference) is not None
        return named or self._sweeping.is_kept_back(reference, seen)

    def _reference(self, manifest: Manifest) -> str:
        return self._node.root.ref(manifest_key(self._node.home, manifest.checkpoint_id))

    def _rebase(self, seen: Seen, mine: Manifest, dropped: set[str]) -> Rebased:
        """Others have moved LATEST while we saved: keep their files, and be sure of what we refer to."""
        if seen.pointer is None:
            return Rebased(Fate.FITS, mine)
        session, theirs = self._session, self._sibling(seen)
        merged = merge(mine, theirs, base=session.content.files, dropped=dropped) if theirs else None
        files = {record.path: record for record in mine.files} if merged is None else merged
        is_at_risk = session.publisher.may_be_swept(seen.pointer, mine)
        lost = self._may_be_lost(files.values(), seen, theirs, None if is_at_risk else mine)
        if merged is None and not (lost or is_at_risk or self._is_behind(seen, mine)):
            return Rebased(Fate.FITS, mine)
        if merged is None and theirs:
            return Rebased(Fate.CONTAINED, mine)
        checkpoint = self._new_id(seen)
        try:
            files |= self._copy(checkpoint, self._node.home, lost)
        except DamagedError as error:
            raise SweptMeanwhileError(
                "other processes of this attempt went on, and swept what this save refers to", key=error.key
            ) from error
        leader, other = (theirs, mine) if theirs and theirs.seq > mine.seq else (mine, theirs)
        rebased = msgspec.structs.replace(
            mine,
            id=str(checkpoint),
            seq=checkpoint.seq,
            step=leader.step,
            metadata={**(other.metadata if other else {}), **leader.metadata},
            files=tuple(files[path] for path in sorted(files)),
            folders=tuple(sorted({*mine.folders, *(theirs.folders if theirs else ())})),
            total_bytes=sum(record.size for record in files.values()),
        )
        session.publisher.commit(rebased)
        return Rebased(Fate.RENEWED, rebased)

    def _is_behind(self, seen: Seen, mine: Manifest) -> bool:
        """Whether our predecessor has gone on meanwhile: what takes its place needs a higher seq."""
        pointer = seen.pointer
        fence = self._session.latest.fence
        return (
            pointer is not None
            and fence.is_of_another_incarnation(pointer)
            and pointer.highest_seq >= mine.seq
        )

    def _may_be_lost(
        self, files: Iterable[FileRecord], seen: Seen, theirs: Manifest | None, mine: Manifest | None
    ) -> list[FileRecord]:
        """Those files whose objects a sweep may take: they are neither what LATEST names (`theirs`, or what
        we built on), nor what `mine` has just brought."""
        content = self._session.content
        safe = {record.object for record in theirs.files} if theirs else set()
        if self._is_safe(content.reference, seen):
            safe |= {record.object for record in content.files.values()}
        if mine:
            safe |= {record.object for record in mine.files if record.object.startswith(f"{DATA}/{mine.id}/")}
        return [record for record in files if record.object not in safe]

    def _sibling(self, seen: Seen) -> Manifest | None:
        """What LATEST names, if another process of this attempt saved it, and we did not start from it."""
        session = self._session
        reference = seen.pointer.target.checkpoint if seen.pointer and not seen.is_held else ""
        found = self._node.root.manifest_at(reference)
        if found is None or found.home != self._node.home or reference == session.content.reference:
            return None
        if session.latest.fence.is_of_another_incarnation(seen.pointer):
            return None
        try:
            manifest = read_manifest(session.store, found.home, found.id)
        except (NotFoundError, DamagedError):
            return None
        if self._node.lineage.differs_from(manifest.lineage):
            return None  # another node: Flyte's hashes collide
        is_our_start = manifest.copied_from is not None and manifest.copied_from == session.content.reference
        return None if is_our_start or manifest.created_by == session.author else manifest

    def _content_of(self, manifest: Manifest) -> Content:
        records = {record.path: record for record in manifest.files}
        return Content(self._reference(manifest), self._node.home, records, manifest.folders)

    def _settle(self, before: Seen, published: Published) -> None:
        """Remember where we are now, and let go of what retention no longer wants."""
        session = self._session
        session.seen = published.seen
        session.content = self._content_of(published.manifest)
        self._sweeping.settle(session.content.reference, before, published)


def _is_unchanged(file: Local, before: FileRecord) -> bool:
    """Same size, and then same digest: only a file that may be unchanged is digested ahead."""
    if file.size != before.size or not isinstance(file.source, Path | bytes):
        return False
    return digest_of(file.source) == before.xxh3_128
