"""Download a checkpoint into a folder: nothing is seen there before all of it is verified.

Files are fetched in parallel into a hidden folder (see `staging`), piece by piece (see `fetch`). They are
renamed to where they belong when all are verified. Size alone proves nothing: an interrupted download of
several clients leaves a file of the right size full of zeros. A large file without digests of blocks, which
an older version or stock flytekit saved, is digested when all of it is there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from types import TracebackType

import msgspec

from ckptptr.errors import DamagedError, LocalDiskError
from ckptptr.hidden import remove_left_behind
from ckptptr.protocol.complete import by_key, flaws
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.capacity import capacity_of
from ckptptr.stores.port import Block, Store
from ckptptr.transfer.digest import holds, read_again
from ckptptr.transfer.fetch import FETCHES, fetch
from ckptptr.transfer.place import Destination
from ckptptr.transfer.plan import MIB, Piece, pieces
from ckptptr.transfer.pool import FEW, FEWER, run_all
from ckptptr.transfer.progress import RESTORING, Progress, Showing
from ckptptr.transfer.staging import PREFIX, Staging

LARGE = 1024 * MIB
"""A file that claims to be larger is looked for in a listing first."""


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
        self._verified: dict[tuple[str, str], str] = {}

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

        A file that the destination has already, with the right digest, is not fetched; a listing tells
        whether the store has it, too.

        Raises:
            NotFoundError, DamagedError: an object is gone, or not what was saved.
            LocalDiskError: the disk is full, read-only, or not ours.
            StoreUnavailableError: the store did not answer.
        """
        wanted = [record for record in files if self._destination.takes(record)]
        new = [record for record in wanted if (record.path, record.xxh3_128) not in self._verified]
        absent = self._not_in_place(new)
        self._check_listed(home, _without(wanted, absent))
        self._check_listed(home, (r for r in absent if r.size > LARGE and r.xxh3_128))
        learnt = self._stage(home, absent) if absent else {}
        return [learnt.get(record.path, record) for record in files]

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

    def _check_listed(self, home: str, records: Iterable[FileRecord]) -> None:
        """Hold files against listings that are not fetched, and large ones before a byte is fetched and any
        room is made. A plain folder's are from a listing.

        Raises:
            DamagedError: an object is gone, or of another size.
        """
        records = [*records]
        folders = dict.fromkeys("/".join((home, *record.object.split("/")[:2])) for record in records)
        bad = flaws(home, records, by_key(entry for folder in folders for entry in self._store.list(folder)))
        if bad:
            raise DamagedError(f"the file {bad[0].path!r}: {bad[0].problem}", key=self._store.url(bad[0].key))

    def _not_in_place(self, records: Sequence[FileRecord]) -> list[FileRecord]:
        """Those that the destination does not have with the right digest."""
        alike = [record for record in records if record.xxh3_128 and self._destination.has(record)]
        in_place = {r for r, is_same in zip(alike, run_all(self._is_same, alike), strict=True) if is_same}
        return [record for record in records if record not in in_place]

    def _is_same(self, record: FileRecord) -> bool:
        try:
            return holds(self._destination.path(record.path), record)
        except OSError:
            return False

    def _stage(self, home: str, records: Sequence[FileRecord]) -> dict[str, FileRecord]:
        """All of them in a new folder: a killed restore had some, the rest is fetched. Records that now have
        their digests, by path."""
        with self._staging() as staging:
            places = self._inherited(staging, records)
            self._check_listed(home, (record for record in records if record.path in places))
            rest = [record for record in records if record.path not in places]
            for record in rest:
                places[record.path] = staging.new(record.xxh3_128)
            learnt = self._fetch(home, rest, places)
        for record in records:
            path, digest = record.path, learnt.get(record.path, record).xxh3_128
            self._verified[path, digest] = places.pop(path)
        return learnt

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

    def _inherited(self, staging: Staging, records: Iterable[FileRecord]) -> dict[str, str]:
        """Where those of the files are, by path, that a killed restore had fetched."""
        found: dict[str, str] = {}
        with _disk(self._destination.folder):
            had: dict[str, list[Path]] = {}
            for digest, path in staging.inherited():
                had.setdefault(digest, []).append(path)
            for record in records if had else ():
                like = had.get(record.xxh3_128)
                if like and like[-1].stat().st_size == record.size and holds(like[-1], record):
                    found[record.path] = str(like.pop())
            for path in chain.from_iterable(had.values()):
                path.unlink()
        return found

    def _fetch(
        self, home: str, files: Sequence[FileRecord], places: Mapping[str, str]
    ) -> dict[str, FileRecord]:
        """Fetch and verify each file; once more where only the digest of the whole is known, and wrong.

        Returns:
            Records that now have their digests, by path.
        """
        learnt: dict[str, FileRecord] = {}
        bad = files
        for _ in range(FETCHES):
            arriving = ((record, _Arriving(places[record.path])) for record in bad)
            jobs = ((*each, piece) for each in arriving for piece in pieces(each[0]))
            size = sum(record.size for record in bad)
            with self._showing(size) as progress:
                run_all(
                    lambda job: self._fetch_piece(home, *job, progress),
                    jobs,
                    workers=FEW if size > MIB * len(bad) else FEWER,
                    most=capacity_of(self._store).requests,
                    moved=lambda: progress.done,
                )
            unproven = [record for record in bad if record.known_blocks is None]
            read = run_all(lambda record: self._digested(record, places[record.path]), unproven)
            learnt.update((record.path, record) for record in read if record is not None)
            bad = [record for record in unproven if record.path not in learnt]
        if bad:
            raise self._damaged(home, bad[0])
        return learnt

    def _fetch_piece(
        self, home: str, record: FileRecord, file: _Arriving, piece: Piece, progress: Progress
    ) -> None:
        key = f"{home}/{record.object}"
        with _disk(self._destination.path(record.path)), file.opened() as descriptor:

            def take(offset: int, block: Block) -> None:
                begun = progress.measured.clock()
                _write(descriptor, offset, block)
                progress.add(len(block), begun)

            with progress.measured.request(piece.length):
                is_good = fetch(self._store, key, piece, take)
            if not is_good:
                raise self._damaged(home, record)

    def _digested(self, record: FileRecord, path: str) -> FileRecord | None:
        """The record with the digests of the file as it was written; None where it had another."""
        with _disk(self._destination.path(record.path)):
            digest = read_again(path, record.size)
        if record.xxh3_128 not in ("", digest.hex()):
            return None
        return msgspec.structs.replace(record, xxh3_128=digest.hex(), blocks=digest.blocks())

    def _damaged(self, home: str, record: FileRecord) -> DamagedError:
        return DamagedError(
            f"the file {record.path!r} does not have the digest that it was saved with",
            key=self._store.url(f"{home}/{record.object}"),
        )


class _Arriving:
    """A file whose pieces come in any order, each written in place. It waits at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._users = 0
        self._descriptor = -1

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor, which those share that write at the same time. Raises OSError."""
        with self._lock:
            if not self._users:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._users += 1
        try:
            yield self._descriptor
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    os.close(self._descriptor)


def _write(descriptor: int, start: int, block: Block) -> None:
    while block:
        written = os.pwrite(descriptor, block, start)
        start += written
        block = memoryview(block)[written:]


def _without(records: Sequence[FileRecord], some: Sequence[FileRecord]) -> list[FileRecord]:
    if len(records) == len(some):
        return []
    paths = {record.path for record in some}
    return [record for record in records if record.path not in paths]


@contextmanager
def _disk(path: str | Path) -> Iterator[None]:
    """An error of the disk names the file that is restored, not where it is staged."""
    try:
        yield
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: str | Path, error: OSError) -> LocalDiskError:
    return LocalDiskError(
        f"this machine's disk refused the restore ({error.strerror})",
        key=str(path),
        hint="The checkpoint in the store is untouched",
    )
