"""Download a checkpoint into a folder: nothing is seen there before all of it is verified.

Files are fetched as parallel ranges into a hidden folder beside their destination (the same
filesystem, so that a rename moves them), checked by size and digest, and only then renamed into
place. Size alone proves nothing: an interrupted download of several clients leaves a file of the
right size full of zeros. A digest that does not match is fetched once more before it counts as
damage: one flipped bit on the wire must not cost a checkpoint.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from ckptptr.errors import DamagedError, LocalDiskError
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.port import Store
from ckptptr.transfer.digest import digest_of
from ckptptr.transfer.plan import HIDDEN, Range, ranges
from ckptptr.transfer.pool import run_all

FETCHES = 2


class Download:
    """One restore into `destination`; a context manager, so that nothing half-done stays behind.

    with Download(store, destination) as download:
        records = download.fetch(home, files)   # may be tried for several checkpoints
        download.install(records)               # of any of them

    What was fetched for one checkpoint is never taken for another's: a verified file is known by its
    path and digest.
    """

    def __init__(self, store: Store, destination: Path) -> None:
        self._store = store
        self._destination = destination
        self._folders: list[Path] = []
        self._verified: dict[tuple[str, str], Path] = {}

    def __enter__(self) -> Download:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)

    def fetch(self, home: str, files: Sequence[FileRecord]) -> list[FileRecord]:
        """Fetch and verify files; their records, with the digests of those that had none.

        A file that the destination has already, with the right digest, is not fetched.

        Raises:
            NotFoundError, DamagedError: an object is gone, or not what was saved.
            LocalDiskError: the disk is full, read-only, or not ours.
            StoreUnavailableError: the store did not answer.
        """
        missing = [record for record in files if not self._is_there(record)]
        digests: dict[FileRecord, str] = {}
        if missing:
            with self._folder() as folder:
                staged = {record: folder / str(number) for number, record in enumerate(missing)}
                digests = self._fetch_verified(home, staged)
            self._verified.update(((r.path, digests[r]), path) for r, path in staged.items())
        return [msgspec.structs.replace(r, xxh3_128=digests.get(r, r.xxh3_128)) for r in files]

    def install(self, files: Sequence[FileRecord], folders: Sequence[str] = ()) -> None:
        """Rename the fetched files into place, once it is certain that nothing stands in their way.

        Raises:
            LocalDiskError: the destination does not take them.
        """
        for folder in (self._destination, *(self._destination / folder for folder in folders)):
            with _disk(folder):
                folder.mkdir(parents=True, exist_ok=True)
        for record in files:
            target = self._destination / record.path
            with _disk(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.is_dir():
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        for record in files:
            target = self._destination / record.path
            fetched = self._verified.get((record.path, record.xxh3_128))
            with _disk(target):
                if record.mode is not None:
                    (fetched or target).chmod(record.mode)
                if fetched is not None:
                    fetched.replace(target)

    def _is_there(self, record: FileRecord) -> bool:
        if (record.path, record.xxh3_128) in self._verified:
            return True
        target = self._destination / record.path
        try:
            same_size = target.is_file() and target.stat().st_size == record.size
            return bool(record.xxh3_128) and same_size and digest_of(target) == record.xxh3_128
        except OSError:
            return False

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        """A hidden folder for what is fetched; gone at once where that fails, since disks are small."""
        with _disk(self._destination):
            self._destination.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=self._destination))
        self._folders.append(folder)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _fetch_verified(self, home: str, staged: Mapping[FileRecord, Path]) -> dict[FileRecord, str]:
        """Fetch each file to where it is staged, twice where it must be; the digests."""
        digests: dict[FileRecord, str] = {}
        for _ in range(FETCHES):
            self._fetch_ranges(home, staged)
            with _disk(self._destination):
                digests.update(zip(staged, run_all(digest_of, staged.values()), strict=True))
            staged = {r: path for r, path in staged.items() if r.xxh3_128 not in ("", digests[r])}
        if staged:
            record = next(iter(staged))
            raise DamagedError(
                f"the file {record.path!r} does not have the digest that it was saved with",
                key=self._store.url(f"{home}/{record.object}"),
            )
        return digests

    def _fetch_ranges(self, home: str, staged: Mapping[FileRecord, Path]) -> None:
        for record, path in staged.items():
            with self._writing(record, path, "wb") as file:
                file.truncate(record.size)

        def fetch(job: tuple[FileRecord, Range]) -> None:
            record, part = job
            data = self._store.download(f"{home}/{record.object}", part.start, part.length)
            with self._writing(record, staged[record], "r+b") as file:
                written = 0
                while written < len(data):
                    written += os.pwrite(file.fileno(), data[written:], part.start + written)

        run_all(fetch, [(r, part) for r in staged for part in ranges(r.size, self._store.block_size)])

    @contextmanager
    def _writing(self, record: FileRecord, staged: Path, mode: str) -> Iterator[IO[bytes]]:
        with _disk(self._destination / record.path), staged.open(mode, buffering=0) as file:
            yield file


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    """What goes wrong on the disk is told of the file that is restored, not of where it is staged."""
    try:
        yield
    except OSError as error:
        raise LocalDiskError(
            f"this machine's disk refused the restore ({error.strerror})",
            key=str(path),
            hint="The checkpoint in the store is untouched",
        ) from error
