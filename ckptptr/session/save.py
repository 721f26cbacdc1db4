"""Save: the way of a content into the store.

`Saver._save` reads like that way: what is saved, under which name, sent, committed, published, released.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import msgspec

from ckptptr.errors import DamagedError, NotFoundError
from ckptptr.events import Event, emit
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.manifest import FileRecord, Manifest
from ckptptr.protocol.names import CheckpointId
from ckptptr.protocol.publish import Published, Rebase, Standing
from ckptptr.session.background_sweeps import BackgroundSweeps
from ckptptr.session.content import Change, Content
from ckptptr.session.ids import Ids
from ckptptr.session.objects import copy, send
from ckptptr.session.rebase import DeletedMeanwhileError, Rebasing
from ckptptr.session.session import Session
from ckptptr.session.siblings import sibling
from ckptptr.transfer.digest import holds
from ckptptr.transfer.plan import Local
from ckptptr.wording import moved

SENDINGS = 3
"""How often a save is sent, if siblings that are much faster delete it before it is published."""


class Saver:
    """Saves for one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.sweeps = BackgroundSweeps(session)
        self.ids = Ids(session, self.sweeps.begin)
        self._written: frozenset[str] = frozenset()
        """The paths of the content that this process wrote itself."""
        self._was_held = False

    def save(self, change: Change, step: int | None, metadata: dict[str, Any]) -> Published:
        """Make the content as `change` says into a checkpoint, and confirm it.

        Raises: see `Checkpoints.save`.
        """
        session = self._session
        session.has_saved.set()
        with session.watch("save") as watch:
            for tried in range(1, SENDINGS + 1):
                try:
                    with session.lock, session.forgetting_on_failure():
                        published = self._save(change, step, metadata)
                        # Under the lock already: to take it again could mean to wait for another's save.
                        session.saves += 1
                        session.saved_in.append((published.manifest.id, watch.seconds))
                    break
                except DeletedMeanwhileError as error:
                    if tried == SENDINGS:
                        raise
                    emit(Event("conflict", str(error), level=logging.WARNING, error=error.code))
            self.tell(published, watch.seconds)
        return published

    def tell(self, published: Published, seconds: float, *, how: str = "") -> None:
        """The event of a save; the first one beside a hold is a warning."""
        saved, standing = published.manifest, published.standing
        step = "" if saved.step is None else f"step {saved.step}, "
        where = "" if standing is Standing.TARGET else f": {standing.value}"
        is_held = standing is Standing.HELD
        if is_held:
            where += f" ({self._session.latest.url})"
        event = Event(
            "save",
            f"saved {step}checkpoint {saved.id}{how} ({moved(saved.total_bytes, seconds)}){where}",
            level=logging.WARNING if is_held and not self._was_held else logging.INFO,
            checkpoint=self._session.publisher.found(saved).reference,
            step=saved.step,
            bytes=saved.total_bytes,
            verdict=standing.name.lower(),
        )
        self._was_held = is_held
        emit(event)

    def _save(self, change: Change, step: int | None, metadata: dict[str, Any]) -> Published:
        session = self._session
        before = session.look()
        # What is saved: the change, and of the content so far what stays beside it.
        dropped = self._written - change.files.keys() if change.replaces else frozenset()
        beside = self._beside(change, dropped, before)
        # Under which name.
        checkpoint = self.ids.new(before)
        # Sent: or copied, or referred to where it is already.
        files = self._bring(checkpoint, change, beside, before)
        manifest = session.publisher.manifest(
            checkpoint,
            files,
            folders=(*change.folders, *beside.folders),
            step=step,
            metadata=metadata,
            parent=session.parent,
        )
        # Committed, published, released: where others move LATEST first, it is rebased.
        published = self.confirm(before, manifest, Rebasing(session, self.ids, self.sweeps, dropped).rebase)
        self._written = frozenset(change.files) | (frozenset() if change.replaces else self._written)
        return published

    def confirm(self, before: Seen, manifest: Manifest, rebase: Rebase) -> Published:
        """Commit a checkpoint whose payload is there and publish it; a later save builds on it.

        Args:
            before: LATEST as the save found it.

        Raises: as `Publisher.commit` and `Publisher.publish`.
        """
        session, publisher, sweeps = self._session, self._session.publisher, self.sweeps
        publisher.commit(manifest)
        sweeps.look(before)
        orphans, deleted = sweeps.hand_out()
        published = publisher.publish(before, manifest, rebase, orphans=orphans, deleted=deleted)
        session.seen = published.seen
        session.content = Content.of(publisher.found(published.manifest))
        sweeps.release(session.content.reference, before, published)
        return published

    def _beside(self, change: Change, dropped: Collection[str], seen: Seen) -> Content:
        """What the checkpoint consists of beside the files of the change.

        Where a sibling has saved since, its checkpoint is the content that we change: it has all that
        we had confirmed, or something newer. A folder then replaces only what we wrote ourselves.
        """
        session = self._session
        theirs = sibling(session, seen)
        if theirs is not None:
            session.content = Content.of(session.publisher.found(theirs))
        elif change.replaces:
            return Content()
        return session.content.beside(change.files, without=dropped)

    def _bring(
        self, checkpoint: CheckpointId, change: Change, beside: Content, seen: Seen
    ) -> list[FileRecord]:
        """The records of the new checkpoint's files, every object of them in our own home."""
        content, home = self._session.content, self._session.node.home
        may_refer = content.home == home and self.sweeps.is_safe(content, seen)
        unchanged: list[FileRecord] = []
        new: list[Local] = []
        for path, file in change.files.items():
            before = content.files.get(path) if may_refer else None
            if before is not None and is_unchanged(file, before):
                is_same = (before.mode, before.mtime_ns) == (file.mode, file.mtime_ns)
                renewed = {"mode": file.mode, "mtime_ns": file.mtime_ns}
                unchanged.append(before if is_same else msgspec.structs.replace(before, **renewed))
            else:
                new.append(file)
        sent = send(self._session, checkpoint, new)
        stays = [*beside.files.values()]
        return [*unchanged, *sent, *(stays if may_refer else self._copied(checkpoint, beside.home, stays))]

    def _copied(self, checkpoint: CheckpointId, home: str, records: list[FileRecord]) -> list[FileRecord]:
        try:
            return copy(self._session, checkpoint, home, records)
        except NotFoundError as error:
            raise DamagedError(
                "a file that the current content consists of is gone",
                key=error.key,
                hint="Save the whole folder instead of single files",
            ) from error


def is_unchanged(file: Local, before: FileRecord) -> bool:
    """Same size, and then the same bytes: only a file that may be unchanged is read ahead."""
    if file.size != before.size or not isinstance(file.source, str | bytes):
        return False
    try:
        return holds(file.source, before)
    except OSError:
        return False  # to send it finds out what is wrong
