"""Download a checkpoint into a folder: nothing is seen there before all of it is verified.

Files are fetched as parallel ranges into a hidden folder (see `staging`), written in place, digested as
they come, and only when all are verified renamed to where they belong. Size alone proves nothing: an
interrupted download of several clients leaves a file of the right size full of zeros. What does not have
its digest is fetched once more before it counts as damage: one flipped bit on the wire must not cost a
checkpoint.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import msgspec

from ckptptr.errors import DamagedError, LocalDiskError
from ckptptr.hidden import remove_left_behind
from ckptptr.protocol.complete import by_key, flaws
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.port import Block, Store
from ckptptr.transfer.digest import Digest, digest_of
from ckptptr.transfer.place import Destination
from ckptptr.transfer.plan import MIB, Range, ranges
from ckptptr.transfer.pool import run_all
from ckptptr.transfer.progress import RESTORING, Showing
from ckptptr.transfer.staging import PREFIX, Staging

FETCHES = 2
RANGE = 8 * MIB
AT_ONCE = 32
"""Maximum requests in flight: more connections get more of a network. The store bounds their memory."""
LARGE = 1024 * MIB
"""A file that claims to be larger is looked for in a listing first."""
_PIECE = MIB


class _Staged(NamedTuple):
    """A verified file: its digest, and where it waits to be put in place."""

    digest: str
    path: Path


class Download:
    """One restore into `destination`; a context manager, so that nothing half-done stays behind.

    with Download(store, destination) as download:
        records = download.fetch(home, files)   # may be tried for several checkpoints
        download.install(records)               # of any of them

    What was fetched for one checkpoint is never taken for another's: a verified file is known by its
    path and digest.

    Args:
        without: what is never written, see `Destination`.
    """

    def __init__(
        self,
        store: Store,
        destination: Path,
        showing: Showing = RESTORING,
        *,
        without: Iterable[Path] = (),
    ) -> None:
        self._store = store
        self._showing = showing
        self._destination = Destination(destination, without)
        self._stagings: list[Staging] = []
        self._verified: dict[tuple[str, str], Path] = {}

    def __enter__(self) -> Download:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for staging in self._stagings:
            staging.remove()
        if error is None:
            remove_left_behind(self._destination.folder, PREFIX)

    def fetch(self, home: str, files: Sequence[FileRecord]) -> list[FileRecord]:
        """Fetch and verify files; their records, with the digests of those that had none.

        A file that the destination has already, with the right digest, is not fetched.

        Raises:
            NotFoundError, DamagedError: an object is gone, or not what was saved.
            LocalDiskError: the disk is full, read-only, or not ours.
            StoreUnavailableError: the store did not answer.
        """
        wanted = [record for record in files if self._destination.takes(record)]
        new = [record for record in wanted if (record.path, record.xxh3_128) not in self._verified]
        absent = self._not_in_place(new)
        self._check_large(home, absent)
        staged = self._stage(home, absent) if absent else {}
        self._verified.update(((record.path, digest), path) for record, (digest, path) in staged.items())
        return [
            msgspec.structs.replace(record, xxh3_128=staged[record].digest) if record in staged else record
            for record in files
        ]

    def install(self, files: Sequence[FileRecord], folders: Sequence[str] = ()) -> None:
        """Rename the fetched files into place, once it is certain that nothing stands in their way.

        Raises:
            LocalDiskError: the destination does not take them.
        """
        destination = self._destination
        files = [record for record in files if destination.takes(record)]
        with _disk(destination.folder):
            destination.make_room(files, folders)
        for record in files:
            try:
                destination.put(record, self._verified.get((record.path, record.xxh3_128)))
            except OSError as error:
                raise _refused(destination.path(record.path), error) from error

    def _check_large(self, home: str, records: Iterable[FileRecord]) -> None:
        """Hold the sizes of large files against listings, before a byte of them is fetched and any room is
        made. A plain folder's are from a listing.

        Raises:
            DamagedError: an object is gone, or of another size.
        """
        large = [record for record in records if record.size > LARGE and record.xxh3_128]
        folders = dict.fromkeys("/".join((home, *record.object.split("/")[:2])) for record in large)
        bad = flaws(home, large, by_key(entry for folder in folders for entry in self._store.list(folder)))
        if bad:
            raise DamagedError(f"the file {bad[0].path!r}: {bad[0].problem}", key=self._store.url(bad[0].key))

    def _not_in_place(self, records: Sequence[FileRecord]) -> list[FileRecord]:
        """Those that the destination does not have with the right digest."""
        alike = [record for record in records if record.xxh3_128 and self._destination.has(record)]
        in_place = {r for r, is_same in zip(alike, run_all(self._is_same, alike), strict=True) if is_same}
        return [record for record in records if record not in in_place]

    def _is_same(self, record: FileRecord) -> bool:
        try:
            return digest_of(self._destination.path(record.path)) == record.xxh3_128
        except OSError:
            return False

    def _stage(self, home: str, records: Sequence[FileRecord]) -> dict[FileRecord, _Staged]:
        """All of them in a new folder: what a killed restore had fetched already, and the rest fetched."""
        with self._staging() as staging:
            inherited = self._inherited(staging, records)
            rest = [record for record in records if record not in inherited]
            return inherited | self._fetch_verified(home, staging, rest)

    @contextmanager
    def _staging(self) -> Iterator[Staging]:
        """A place for what is fetched; gone at once where that fails, since disks are small."""
        with _disk(self._destination.folder):
            staging = Staging(self._destination.folder)
        self._stagings.append(staging)
        try:
            yield staging
        except BaseException:
            staging.remove()
            raise

    def _inherited(self, staging: Staging, records: Sequence[FileRecord]) -> dict[FileRecord, _Staged]:
        """Those of the files that a killed restore had fetched."""
        wanted: dict[str, list[FileRecord]] = {}
        for record in records:
            wanted.setdefault(record.xxh3_128, []).append(record)
        found: dict[FileRecord, _Staged] = {}
        with _disk(self._destination.folder):
            for digest, path in staging.inherited():
                if wanted.get(digest) and digest_of(path) == digest:
                    found[wanted[digest].pop()] = _Staged(digest, path)
                else:
                    path.unlink()
        return found

    def _fetch_verified(
        self, home: str, staging: Staging, records: Sequence[FileRecord]
    ) -> dict[FileRecord, _Staged]:
        """Fetch each file; once more where the digest is wrong."""
        found: dict[FileRecord, _Staged] = {}
        for _ in range(FETCHES):
            found.update(self._fetch(home, staging, [record for record in records if record not in found]))
        for record in records:
            if record not in found:
                raise DamagedError(
                    f"the file {record.path!r} does not have the digest that it was saved with",
                    key=self._store.url(f"{home}/{record.object}"),
                )
        return found

    def _fetch(self, home: str, staging: Staging, records: Sequence[FileRecord]) -> dict[FileRecord, _Staged]:
        """Fetch each file, once; those that have the right digest."""
        arriving = [
            _Arriving(record, self._destination.path(record.path), staging.path / str(n))
            for n, record in enumerate(records)
        ]
        length = min(RANGE, self._store.block_size)
        for each in arriving:
            if not 0 < each.record.size <= length:  # the others are made by their only range
                with _disk(each.target):
                    each.path.touch()
        jobs = ((each, part) for each in arriving for part in ranges(each.record.size, length))

        def fetch(job: tuple[_Arriving, Range]) -> None:
            each, part = job
            key = f"{home}/{each.record.object}"
            with (
                _disk(each.target),
                closing(self._store.download(key, part.start, part.length)) as blocks,
            ):
                each.take(part, progress.over(blocks))

        with self._showing(sum(record.size for record in records)) as progress:
            run_all(fetch, jobs, workers=AT_ONCE)
        found: dict[FileRecord, _Staged] = {}
        for each in arriving:
            digest = each.digest.hex()
            if each.record.xxh3_128 in ("", digest):
                with _disk(each.target):
                    found[each.record] = _Staged(digest, staging.verified(each.path, digest))
        return found


class _Arriving:
    """A file whose ranges come in any order: each is written in place, and the digest follows behind."""

    def __init__(self, record: FileRecord, target: Path, path: Path) -> None:
        self.record = record
        self.target = target
        self.path = path
        self.digest = Digest()
        self._written: dict[int, int] = {}
        self._lock = threading.Lock()

    def take(self, part: Range, blocks: Iterable[Block]) -> None:
        """Write a range as it comes. Raises OSError, and what `blocks` raises."""
        is_all = part.length == self.record.size
        with self.path.open("wb" if is_all else "r+b", buffering=0) as opened:
            file = opened.fileno()
            _write(file, part.start, self.digest.over(blocks) if is_all else blocks)
            if not is_all:
                self._digest_behind(file, part)

    def _digest_behind(self, file: int, part: Range) -> None:
        with self._lock:
            self._written[part.start] = part.length
            while length := self._written.pop(self.digest.size, 0):
                self._digest(file, self.digest.size + length)

    def _digest(self, file: int, end: int) -> None:
        """Digest up to `end` what has been written, and is still in the page cache. Where another process has
        cut the file short it is less, and so another digest."""
        while (length := min(_PIECE, end - self.digest.size)) and (
            piece := os.pread(file, length, self.digest.size)
        ):
            self.digest.add(piece)


def _write(file: int, start: int, blocks: Iterable[Block]) -> None:
    for block in blocks:
        rest = block
        while rest:
            written = os.pwrite(file, rest, start)
            start += written
            rest = memoryview(rest)[written:]


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """An error of the disk names the file that is restored, not where it is staged."""
    try:
        yield
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> LocalDiskError:
    return LocalDiskError(
        f"this machine's disk refused the restore ({error.strerror})",
        key=str(path),
        hint="The checkpoint in the store is untouched",
    )
