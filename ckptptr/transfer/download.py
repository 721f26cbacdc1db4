"""Download a checkpoint into a folder: nothing is seen there before all of it is verified.

Files are fetched as parallel ranges into a hidden folder beside their destination (the same
filesystem, so that a rename moves them), checked by size and digest, and only then renamed into
place. Size alone proves nothing: an interrupted download of several clients leaves a file of the
right size full of zeros. A digest that does not match is fetched once more before it counts as
damage: one flipped bit on the wire must not cost a checkpoint.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from ckptptr.errors import DamagedError, LocalDiskError
from ckptptr.protocol.manifest import FileRecord
from ckptptr.stores.port import Store
from ckptptr.transfer.digest import digest_of
from ckptptr.transfer.plan import HIDDEN, Range, ranges
from ckptptr.transfer.pool import run_all

if TYPE_CHECKING:
    from collections.abc import Iterator

FETCHES = 2


class Download:
    """One restore into `destination`; a context manager, so that nothing half-done stays behind.

    with Download(store, destination) as download:
        records = download.fetch(home, files)   # may be tried for several checkpoints
        download.install(records)
    """

    def __init__(self, store: Store, destination: Path) -> None:
        self._store = store
        self._destination = destination
        self._made: Path | None = None

    def __enter__(self) -> Download:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made is not None:
            shutil.rmtree(self._made, ignore_errors=True)

    @property
    def _staging(self) -> Path:
        """Made when first needed: a restore that finds nothing leaves no trace."""
        if self._made is None:
            with _disk(self._destination):
                self._destination.mkdir(parents=True, exist_ok=True)
                self._made = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=self._destination))
        return self._made

    def fetch(self, home: str, files: Sequence[FileRecord]) -> list[FileRecord]:
        """Fetch and verify files; their records, with the digests of those that had none.

        A file that the destination has already, with the right digest, is not fetched.

        Raises:
            NotFoundError, DamagedError: an object is gone, or not what was saved.
            LocalDiskError: the disk is full, read-only, or not ours.
            StoreUnavailableError: the store did not answer.
        """
        missing = [record for record in files if not self._is_there(record)]
        digests: dict[str, str] = {}
        for _ in range(FETCHES):
            self._fetch_ranges(home, missing)
            digests.update(zip((r.path for r in missing), run_all(self._digest, missing), strict=True))
            missing = [r for r in missing if r.xxh3_128 and digests[r.path] != r.xxh3_128]
            if not missing:
                return [msgspec.structs.replace(r, xxh3_128=r.xxh3_128 or digests[r.path]) for r in files]
        raise DamagedError(
            f"the file {missing[0].path!r} does not have the digest that it was saved with",
            key=self._store.url(f"{home}/{missing[0].object}"),
        )

    def install(self, files: Sequence[FileRecord], folders: Sequence[str] = ()) -> None:
        """Rename the fetched files into place.

        Raises:
            LocalDiskError: the destination does not take them.
        """
        with _disk(self._destination):
            for folder in folders:
                (self._destination / folder).mkdir(parents=True, exist_ok=True)
            for record in files:
                staged, target = self._staging / record.path, self._destination / record.path
                if not staged.exists():
                    continue  # it was there already
                target.parent.mkdir(parents=True, exist_ok=True)
                if record.mode is not None:
                    staged.chmod(record.mode)
                staged.replace(target)

    def _is_there(self, record: FileRecord) -> bool:
        target = self._destination / record.path
        try:
            same_size = target.is_file() and target.stat().st_size == record.size
            return bool(record.xxh3_128) and same_size and digest_of(target) == record.xxh3_128
        except OSError:
            return False

    def _fetch_ranges(self, home: str, files: Sequence[FileRecord]) -> None:
        with _disk(self._staging):
            for record in files:
                staged = self._staging / record.path
                staged.parent.mkdir(parents=True, exist_ok=True)
                with staged.open("wb") as file:
                    file.truncate(record.size)
        run_all(
            lambda job: self._fetch_range(home, *job),
            [(record, part) for record in files for part in ranges(record.size, self._store.block_size)],
        )

    def _fetch_range(self, home: str, record: FileRecord, part: Range) -> None:
        data = self._store.download(f"{home}/{record.object}", part.start, part.length)
        staged = self._staging / record.path
        with _disk(staged), staged.open("r+b", buffering=0) as file:
            written = 0
            while written < len(data):
                written += os.pwrite(file.fileno(), data[written:], part.start + written)

    def _digest(self, record: FileRecord) -> str:
        with _disk(self._staging):
            return digest_of(self._staging / record.path)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalDiskError(
            f"this machine's disk refused the restore ({error.strerror})",
            key=str(error.filename or path),
            hint="The checkpoint in the store is untouched",
        ) from error
