"""Rebase: others have moved LATEST while we saved. Can our checkpoint still be named?

Files that a sibling saved stay, and so do ours: where both have some, a new checkpoint has all of them.
What a sweep may delete by now is never named: its files are copied under a new id. See section 5.1 of
PROTOCOL.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import msgspec

from ckptptr.errors import ConflictError, NotFoundError
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.manifest import FileRecord, Manifest
from ckptptr.protocol.merge import merge
from ckptptr.protocol.names import data_folder
from ckptptr.protocol.pointer import Pointer
from ckptptr.protocol.publish import Fate, Rebased
from ckptptr.session.background_sweeps import BackgroundSweeps
from ckptptr.session.ids import Ids
from ckptptr.session.objects import copy
from ckptptr.session.session import Session
from ckptptr.session.siblings import sibling


class DeletedMeanwhileError(ConflictError):
    """A sweep deleted what a save had uploaded, or referred to: send it again."""


@dataclass(frozen=True, slots=True)
class Rebasing:
    """Decides for one save.

    Args:
        dropped: the paths that this process had written before, and that the save replaces by nothing.
    """

    session: Session
    ids: Ids
    sweeps: BackgroundSweeps
    dropped: Collection[str]
    _merged: list[Manifest] = field(default_factory=list)
    """The siblings' checkpoints that ours has in it by now: what is as in the last is no change of ours."""

    def rebase(self, seen: Seen, mine: Manifest) -> Rebased:
        """Whether our checkpoint fits, given LATEST as others have moved it, or what replaces it.

        Raises:
            DeletedMeanwhileError: not all of it is there any more.
        """
        pointer = seen.pointer
        if pointer is None:
            return Rebased(Fate.FITS, mine)
        theirs = sibling(self.session, seen)
        base = {r.path: r for r in self._merged[-1].files} if self._merged else self.session.content.files
        merged = merge(mine, theirs, base=base, dropped=self.dropped) if theirs else None
        files = {record.path: record for record in mine.files} if merged is None else merged
        is_at_risk = self.session.publisher.may_be_deleted(pointer, mine)
        at_risk = self._at_risk(files.values(), seen, theirs, None if is_at_risk else mine)
        is_whole = not (is_at_risk or at_risk or self._is_behind(pointer, mine))
        if merged is None and is_whole:
            return Rebased(Fate.FITS, mine)
        if merged is None and theirs:
            return Rebased(Fate.CONTAINED, mine)
        renewed = self._renewed(seen, mine, theirs, files, at_risk)
        self._merged.extend([theirs] if theirs else [])
        return Rebased(Fate.RENEWED, renewed)

    def _is_behind(self, pointer: Pointer, mine: Manifest) -> bool:
        """Whether our predecessor has gone on meanwhile: what takes its place needs a higher seq."""
        fence = self.session.latest.fence
        is_taken_over = fence.is_of_another_incarnation(pointer) and not fence.has_lost(pointer)
        return is_taken_over and pointer.highest_seq >= mine.seq

    def _at_risk(
        self, files: Iterable[FileRecord], seen: Seen, theirs: Manifest | None, mine: Manifest | None
    ) -> list[FileRecord]:
        """Those files whose objects a sweep may delete: they belong neither to what LATEST names (`theirs`,
        or what we built on), nor were they uploaded for `mine`."""
        content = self.session.content
        safe = {record.object for record in theirs.files} if theirs else set()
        if self.sweeps.is_safe(content, seen):
            safe |= {record.object for record in content.files.values()}
        if mine:
            own = f"{data_folder(mine.checkpoint_id)}/"
            safe |= {record.object for record in mine.files if record.object.startswith(own)}
        return [record for record in files if record.object not in safe]

    def _renewed(
        self,
        seen: Seen,
        mine: Manifest,
        theirs: Manifest | None,
        files: dict[str, FileRecord],
        at_risk: list[FileRecord],
    ) -> Manifest:
        """Our checkpoint, committed again under a new id with these files."""
        checkpoint = self.ids.new(seen)
        try:
            copied = copy(self.session, checkpoint, self.session.node.home, at_risk)
        except NotFoundError as error:
            raise DeletedMeanwhileError(
                "other processes of this attempt went on, and deleted what this save refers to", key=error.key
            ) from error
        files = files | {record.path: record for record in copied}
        leader, other = (theirs, mine) if theirs and theirs.seq > mine.seq else (mine, theirs)
        renewed = msgspec.structs.replace(
            mine,
            id=str(checkpoint),
            seq=checkpoint.seq,
            step=leader.step,
            metadata={**(other.metadata if other else {}), **leader.metadata},
            files=tuple(files[path] for path in sorted(files)),
            folders=tuple(sorted({*mine.folders, *(theirs.folders if theirs else ())})),
            total_bytes=sum(record.size for record in files.values()),
        )
        self.session.publisher.commit(renewed)
        return renewed
