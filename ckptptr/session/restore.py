"""Restore: resolve, download and verify, adopt, put in place, copy forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from pathspec import GitIgnoreSpec

from ckptptr.errors import NotFoundError
from ckptptr.events import Event, Name, Watch, emit
from ckptptr.protocol.adopt import adopt, with_the_markers
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.forward import copy_home, move_latest
from ckptptr.protocol.latest import Move, Seen
from ckptptr.protocol.listed import Listed
from ckptptr.protocol.manifest import FileRecord
from ckptptr.protocol.resolve import Resolution, Resolver
from ckptptr.session.content import Content
from ckptptr.session.objects import copy
from ckptptr.session.session import Session
from ckptptr.transfer.copy import CancelledError
from ckptptr.transfer.download import Download
from ckptptr.wording import moved

_SHOWN = 5
"""How many names an error lists."""
_LOOK_UP = 0.2
"""Seconds for which a copy waits for the lock before it looks whether it is still wanted."""


class Restorer:
    """Restores for one session.

    Args:
        read_only: never adopts, forwards or sweeps: for evaluation and the command line.
    """

    def __init__(self, session: Session, *, read_only: bool = False) -> None:
        self._session = session
        self._read_only = read_only

    def look(self) -> Resolution:
        """What a restore would return, as far as manifests and listings tell; nothing is fetched or moved."""
        session = self._session
        return Resolver(session.candidates, session.latest).resolve(Listed(session.store))

    def restore(self, destination: Path, only: GitIgnoreSpec | None = None) -> Resolution:
        """Put the newest good checkpoint into `destination`, or what `only` selects of it.

        Raises: see `Checkpoints.restore`.
        """
        session = self._session
        with session.watch("restore") as watch, session.lock, self._download(destination) as download:
            resolution, files, adopted = self._resolve(lambda found: self._fetch(download, found, only))
            session.seen = adopted or resolution.seen
            found = resolution.found
            if found is not None:
                self._put_in_place(download, found, files, only)
                self._make_current(found, files, resolution.seen)
                session.restored_in = watch.seconds
            self._tell(resolution, files, watch, only)
            if adopted and found is not None and found.home != session.node.home:
                self._forward(found, files)
        return resolution

    def attach(self) -> Resolution:
        """Adopt the newest good checkpoint as a restore does, and fetch nothing of it.

        It is judged by its manifest, and all its objects are there.

        Raises: see `Checkpoints.restore`.
        """
        session = self._session
        accept = Listed(session.store)

        def check(found: Found) -> list[FileRecord]:
            accept(found)
            return list(found.files)

        with session.watch("restore"), session.lock:
            resolution, files, adopted = self._resolve(check)
            session.seen = adopted or resolution.seen
            self._tell(resolution)
            found = resolution.found
            if found is not None:
                self._build_on(found, files, resolution.seen)
                if adopted and found.manifest is not None and found.home != session.node.home:
                    self._forward(found, files)
        return resolution

    def restore_named(
        self,
        destination: Path,
        checkpoint: str,
        only: GitIgnoreSpec | None = None,
        *,
        becomes_current: bool = True,
    ) -> Resolution:
        """Put the checkpoint of that name into `destination`, or fail: there is no second choice.

        LATEST is not moved: the process that resolved for all ranks has done that. The next save builds on
        it, unless `becomes_current` is False.
        """
        session = self._session
        with session.watch("restore") as watch, session.lock, self._download(destination) as download:
            seen = session.latest.read()
            candidate = next(session.candidates.named(checkpoint, seen.pointer), None)
            if candidate is None:
                raise NotFoundError("no such checkpoint", key=checkpoint)
            found = candidate.load()
            files = self._fetch(download, found, only)
            self._put_in_place(download, found, files, only)
            if becomes_current:
                self._make_current(found, files, seen)
            resolution = Resolution(candidate.verdict_on(found), found, (), seen)
            self._tell(resolution, files, watch, only)
        return resolution

    def _tell(
        self,
        resolution: Resolution,
        files: Sequence[FileRecord] = (),
        watch: Watch | None = None,
        only: GitIgnoreSpec | None = None,
    ) -> None:
        size = sum(record.size for record in (files if only is None else _chosen(files, only)))
        took = f" ({moved(size, watch.seconds)})" if watch and resolution.found else ""
        emit(self._event("restore", f"{resolution}{took}", resolution, size=size))

    def _event(self, name: Name, message: str, resolution: Resolution, *, size: int | None = None) -> Event:
        found = resolution.found
        return Event(
            name,
            message,
            checkpoint=found.reference if found else None,
            step=found.manifest.step if found and found.manifest else None,
            bytes=size,
            verdict=resolution.verdict.name.lower(),
        )

    def _download(self, destination: Path) -> Download:
        return Download(self._session.store, destination, without=self._session.own_places)

    def _fetch(self, download: Download, found: Found, only: GitIgnoreSpec | None) -> list[FileRecord]:
        """Fetch and verify what is selected; of the rest it is only checked that it is there."""
        if only is None:
            return download.fetch(found.home, found.files)
        Listed(self._session.store)(found)
        chosen = _chosen(found.files, only)
        fetched = {record.path: record for record in download.fetch(found.home, chosen)}
        return [fetched.get(record.path, record) for record in found.files]

    def _put_in_place(
        self, download: Download, found: Found, files: list[FileRecord], only: GitIgnoreSpec | None
    ) -> None:
        if only is None:
            download.install(files, found.manifest.folders if found.manifest else ())
        elif chosen := _chosen(files, only):
            download.install(chosen)
        else:
            raise NotFoundError(
                "no file of the checkpoint matches `only`",
                key=found.reference,
                hint=f"It has {', '.join(record.path for record in files[:_SHOWN])}",
            )

    def _make_current(self, found: Found, files: list[FileRecord], seen: Seen) -> None:
        self._build_on(found, files, seen)
        if not all(record.xxh3_128 for record in files):  # the rest of a plain folder: nothing builds on it
            self._session.content = Content()

    def _build_on(self, found: Found, files: list[FileRecord], seen: Seen) -> None:
        session, manifest = self._session, found.manifest
        is_copied_first = found.origin and found.home == session.node.home
        source = manifest.copied_from if manifest and is_copied_first else None
        session.content = Content.of(found, files, is_at_risk=seen.may_be_unpublished)
        session.parent = source or found.reference

    def _resolve(
        self, fetch: Callable[[Found], list[FileRecord]]
    ) -> tuple[Resolution, list[FileRecord], Seen | None]:
        """Resolve, all of it fetched and verified, and then adopt where LATEST does not say it already.

        Returns:
            The resolution, the records of its files with their digests, and LATEST where we adopted.
        """
        session = self._session
        resolver = Resolver(session.candidates, session.latest)
        records: dict[str, list[FileRecord]] = {}
        copies: dict[str, Found] = {}

        def accept(found: Found) -> None:
            if found.reference not in records:
                records[found.reference] = fetch(found)
            if self._read_only or found.reference in copies:
                return
            copy = self._copy_first(found, records[found.reference])
            if copy is not None:
                copies[found.reference], records[copy.reference] = copy, [*copy.files]

        resolution: Resolution

        def decide(seen: Seen) -> Move | None:
            nonlocal resolution
            for source in [name for name, made in copies.items() if made.reference in seen.expired]:
                del copies[source]  # a person has dropped the copy
            resolution = resolver.resolve(accept, seen)
            found = resolution.found
            is_taken_over = session.latest.fence.is_of_another_incarnation(resolution.seen.pointer)
            if self._read_only or (resolution.follows_latest and not is_taken_over):
                return None
            if found is not None and found.reference in copies:
                copy = replace(copies[found.reference], origin=found.origin)
                resolution = replace(resolution, found=copy)
            return adopt(session.store, session.node, session.latest, resolution, session.retention)

        updated = session.latest.update(decide)
        files = records[resolution.found.reference] if resolution.found else []
        if updated.seen is updated.before:
            return resolution, files, None
        message = f"attempt {session.node.attempt} moved LATEST to what it restores: {session.latest.url}"
        emit(self._event("adopt", message, resolution))
        seen = with_the_markers(session.store, session.node, session.latest, updated.before, updated.seen)
        return resolution, files, seen

    def _copy_first(self, found: Found, files: Sequence[FileRecord]) -> Found | None:
        """A copy in our own home, where LATEST must not name the checkpoint itself, or where a later attempt
        would not take it: it is outside the root, and only we were told of it."""
        if found.may_not_be_named:
            return self._copy_home(found, files)
        is_outside = not self._session.node.root.may_name(found.reference)
        if is_outside and all(record.xxh3_128 for record in files):
            with suppress(Exception), Watch("forward-copy", goes_on=True):
                return self._copy_home(found, files)
        return None

    def _forward(self, found: Found, files: Sequence[FileRecord]) -> None:
        """Copy what was adopted into our own home, in the background."""

        def forward() -> None:
            try:
                copied = self._copy_home(found, files, is_cancelled=self._session.has_saved.is_set)
            except CancelledError:
                return
            self._publish_copy(found, copied)

        self._session.background.run("forward-copy", forward)

    def _copy_home(
        self, found: Found, files: Sequence[FileRecord], *, is_cancelled: Callable[[], bool] = lambda: False
    ) -> Found:
        session = self._session
        copying = partial(copy, session, is_cancelled=is_cancelled)
        return copy_home(session.publisher, found, files, copying)

    def _publish_copy(self, source: Found, copied: Found) -> None:
        session = self._session
        while not session.lock.acquire(timeout=_LOOK_UP):
            # A save may hang while it holds the lock, and the end of the process waits for us.
            if session.has_saved.is_set():
                return
        try:
            if session.has_saved.is_set():
                return
            session.seen = move_latest(session.publisher, source, copied)
            if session.content.reference == source.reference:
                session.content = Content.of(copied)
        finally:
            session.lock.release()
        target = copied.as_target(session.node)
        event = Event(
            "forward-copy",
            f"copied forward into {session.store.url(session.node.home)}",
            checkpoint=copied.reference,
            step=target.step,
            bytes=target.bytes,
        )
        emit(event)


def _chosen(files: Sequence[FileRecord], only: GitIgnoreSpec) -> list[FileRecord]:
    return [record for record in files if only.match_file(record.path)]
