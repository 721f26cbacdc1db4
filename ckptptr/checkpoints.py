"""What a user holds: `ckptptr.open(url)` and the `Checkpoints` it returns."""

from __future__ import annotations

import operator
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any

from ckptptr import daemon
from ckptptr.clock import SystemClock
from ckptptr.content import Change, Saveable, change
from ckptptr.errors import InvalidArgumentError, NotFoundError
from ckptptr.opening import node_at
from ckptptr.protocol.choose import Chooser
from ckptptr.protocol.inventory import describe
from ckptptr.protocol.manifest import check_path, plain_metadata
from ckptptr.protocol.pointer import Target
from ckptptr.protocol.resolve import Resolution
from ckptptr.protocol.retention import Retention
from ckptptr.reading import Member
from ckptptr.restoring import Restorer
from ckptptr.saving import Saver
from ckptptr.seeding import seed_of
from ckptptr.session import Session
from ckptptr.stores import open_store
from ckptptr.stores.probe import settle
from ckptptr.stores.retry import Retrying
from ckptptr.streaming import Stream
from ckptptr.transfer.plan import UNKNOWN, Local


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint, as LATEST names it.

    `reference` is what LATEST, `restore(checkpoint=...)` and `ckptptr use` take; `url` is where its
    manifest is; `bytes` the size of its payload; `published_at` a time in UTC, for people.
    """

    reference: str
    url: str
    step: int | None
    attempt: int
    seq: int
    bytes: int
    published_at: str
    pinned: bool


class Batch:
    """Several saves that become one checkpoint: see `Checkpoints.batch`."""

    def __init__(self) -> None:
        self._change = Change()

    def save(self, content: Saveable) -> None:
        """As `Checkpoints.save`, but nothing is uploaded before the batch ends."""
        self._change = self._change.then(change(content))


class Checkpoints:
    """The checkpoints of one node: save, restore, choose.

    One object per process and node. Its methods may be called from any thread; saves and restores
    run one at a time.
    """

    def __init__(self, session: Session, *, read_only: bool = False) -> None:
        self._session = session
        self._read_only = read_only
        self._restorer = Restorer(session, read_only=read_only)
        self._saver = Saver(session)
        self._cleanups: list[Callable[[], object]] = []
        self._resolution: Resolution | None = None
        self._writing: int | None = None

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def attempt(self) -> int:
        """Which attempt this is; the fence."""
        return self._session.node.attempt

    @property
    def resolution(self) -> Resolution | None:
        """What the last restore returned, from where, what it rejected and why; None before the first."""
        return self._resolution

    def save(
        self, content: Saveable, *, step: int | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Checkpoint:
        """Make a checkpoint and confirm it: when this returns, a later restore finds it.

        Args:
            content: a folder or bytes (they replace the content), a reader (as bytes), or a file
                (added to the content, or replacing the file of its name).
            step: of the training, for people and for retention.
            metadata: anything that JSON can say.

        Raises:
            InvalidArgumentError: `content` cannot be saved, or changed meanwhile.
            SupersededError: a newer attempt has taken over; stop.
            StoreUnavailableError, OutcomeUnknownError: it is not confirmed. What was confirmed
                before still is.
        """
        return self._save(change(content), step, metadata)

    @contextmanager
    def batch(self, *, step: int | None = None, metadata: Mapping[str, Any] | None = None) -> Iterator[Batch]:
        """Several saves as one checkpoint, so that a kill between them leaves no mix of steps.

            with checkpoints.batch(step=100) as batch:
                batch.save("model.pt")
                batch.save("optimizer.pt")

        Nothing is saved where the block raises.
        """
        batch = Batch()
        yield batch
        self._save(batch._change, step, metadata)

    @contextmanager
    def writer(
        self, name: str, *, step: int | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Iterator[Stream]:
        """Write one file straight into the store; it is added to the content, as by `save` of a file.

            with checkpoints.writer("model.pt", step=100) as file:
                torch.save(state, file)

        It is uploaded while it is written, without a local copy. The checkpoint is confirmed when the
        block ends; nothing is saved where it raises.

        Args:
            name: its path in the checkpoint.

        Raises: as `save`; what the upload fails with is raised by the next write.
        """
        self._refuse_read_only()
        self._refuse_inside_a_writer()
        stream = Stream(check_path(name), self._session.store.block_size)
        change = Change({name: Local(name, stream, UNKNOWN)})
        whole, plain = _whole(step), plain_metadata(metadata or {})
        upload = daemon.start(lambda: self._saver.save(change, whole, plain))
        upload.add_done_callback(stream.settle)
        self._writing = threading.get_ident()
        try:
            yield stream
            stream.finish()
        except BaseException:
            stream.abandon()
            futures.wait([upload])
            raise
        finally:
            self._writing = None
        upload.result()

    def restore(
        self, path: str | os.PathLike[str] | None = None, *, checkpoint: str | None = None
    ) -> Path | None:
        """Put the newest good checkpoint into the folder `path`, all of it verified before.

        Args:
            path: made where it does not exist; a temporary folder, gone when this object is, where
                it is not given. Files that are there and not in the checkpoint stay.
            checkpoint: restore just that one (a reference, an id, a URI), and move nothing.

        Returns:
            The folder; None where there is nothing to restore, which was proven.

        Raises:
            StoreUnavailableError: something could neither be read nor proven absent.
            LocalDiskError: this machine's disk is full, read-only, or not ours.
            UnsupportedFormatError: a newer ckptptr wrote it; upgrade.
            SupersededError: a newer attempt has taken over; stop.
            ConflictError, OutcomeUnknownError: others kept moving LATEST, or nobody knows whether it moved.
            NotFoundError, InvalidArgumentError: a seed is needed, and it is not to be had.
            NotFoundError, DamagedError: with `checkpoint`: it is not to be had.
        """
        destination = Path(path) if path is not None else self._temporary_folder()
        self._refuse_inside_a_writer()
        if destination.exists() and not destination.is_dir():
            raise InvalidArgumentError("a checkpoint is restored to a folder", key=str(destination))
        if checkpoint is None:
            self._resolution = self._restorer.restore(destination)
        else:
            self._resolution = self._restorer.restore_named(destination, checkpoint)
        return destination if self._resolution.found is not None else None

    def open(self, name: str | None = None) -> BufferedReader:
        """Read one file of the current checkpoint as it is needed, without a restore.

            with checkpoints.open("model.pt") as file:
                state = torch.load(file)

        The current checkpoint is what was last saved or restored here, else the newest good one, which
        is taken up as by a restore. The digest is checked where the file is read from beginning to end;
        `file.raw.is_verified` tells, and the log where it was not.

        Args:
            name: its path in the checkpoint; its only file where it is not given.

        Raises:
            NotFoundError: there is no checkpoint, or it has no such file.
            DamagedError: while reading: it is not what was saved.
            StoreUnavailableError and others: as `restore`.
        """
        self._refuse_inside_a_writer()
        with self._session.lock:
            if not self._session.content.reference:
                self._resolution = self._restorer.attach()
            content = self._session.content
        record = content.only_file() if name is None else content.files.get(name)
        if record is None:
            there = ", ".join([*content.files][:5]) or "no checkpoint at all"
            raise NotFoundError("the checkpoint has no such file", key=name or "", hint=f"There is {there}")
        return BufferedReader(Member(self._session.store, f"{content.home}/{record.object}", record))

    def look(self) -> Resolution:
        """What a restore would return now, by the manifests alone: nothing is fetched, nothing moved."""
        return self._restorer.look()

    def history(self) -> list[Checkpoint]:
        """The checkpoints that can be chosen from, the current one first, then newest publish first."""
        pointer = self._session.latest.read().pointer
        return [self._describe(target) for target in pointer.retained] if pointer else []

    def pin(self, checkpoint: str, *, note: str = "") -> None:
        """Keep a checkpoint (a reference, an id, a URI), whatever retention says."""
        self._refuse_read_only()
        self._chooser().pin(checkpoint, note)
        self._forget()

    def unpin(self, checkpoint: str) -> None:
        """Let retention decide about a checkpoint again."""
        self._refuse_read_only()
        self._chooser().unpin(checkpoint)
        self._forget()

    def wait(self) -> None:
        """Until sweeps and forward copies that run in the background are done."""
        self._session.background.wait()

    def close(self) -> None:
        """Wait, and let go of threads and temporary folders. Called at the end of a `with` block."""
        self._session.background.close()
        for cleanup in self._cleanups:
            cleanup()

    def _save(self, change: Change, step: int | None, metadata: Mapping[str, Any] | None) -> Checkpoint:
        self._refuse_read_only()
        self._refuse_inside_a_writer()
        published = self._saver.save(change, _whole(step), plain_metadata(metadata or {}))
        node = self._session.node
        return self._describe(describe(node.root, node.home, published.manifest))

    def _describe(self, target: Target) -> Checkpoint:
        root = self._session.node.root
        return Checkpoint(
            reference=target.checkpoint,
            url=self._session.store.url(root.key(target.checkpoint)),
            step=target.step,
            attempt=target.attempt,
            seq=target.seq,
            bytes=target.bytes,
            published_at=target.published_at,
            pinned=target.pinned,
        )

    def _chooser(self) -> Chooser:
        session = self._session
        return Chooser(session.store, session.node, session.latest, session.clock)

    def _forget(self) -> None:
        """LATEST was moved past the session: let the next save read it."""
        with self._session.lock:
            self._session.seen = None

    def _refuse_inside_a_writer(self) -> None:
        if self._writing == threading.get_ident():
            raise InvalidArgumentError(
                "a writer of this thread is open, and its checkpoint comes first",
                hint="Leave its block before",
            )

    def _refuse_read_only(self) -> None:
        if self._read_only:
            raise InvalidArgumentError("this was opened read-only", key=self._session.latest.url)

    def _temporary_folder(self) -> Path:
        """A folder that is gone when this object is: flytekit never closes its checkpoint."""
        folder = Path(tempfile.mkdtemp(prefix="ckptptr-"))
        self._cleanups.append(weakref.finalize(self, _remove, folder, os.getpid()))
        return folder


def _remove(folder: Path, pid: int) -> None:
    """Remove a temporary folder, but not from a process that was forked meanwhile: it is the parent's."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def _whole(step: int | None) -> int | None:
    """A step as JSON has it, also where numpy or torch counted."""
    try:
        return None if step is None else operator.index(step)
    except TypeError:
        raise InvalidArgumentError(f"step is {step!r}, not a whole number") from None


def open(
    url: str,
    *,
    attempt: int | None = None,
    retention: Retention | None = None,
    read_only: bool = False,
    seed: str = "",
    storage_options: Mapping[str, Any] | None = None,
    filesystem: Any = None,
) -> Checkpoints:
    """The checkpoints at a URL, without Flyte: `LATEST` is kept there, homes below `attempts/`.

    Args:
        url: `s3://bucket/run-42` or a local path. A node prefix of Flyte (`.../_ckptptr/...`) can be
            opened read-only.
        attempt: which attempt this is, counted from 0; the fence. Not given: the next free number is
            claimed on the store, create-only.
        retention: which checkpoints to keep; the last three by default.
        read_only: never writes: for evaluation.
        seed: what to restore while nothing has been saved here: the node prefix of another run, a
            checkpoint, or a folder, anywhere in the same kind of store. It must be there then.
        storage_options: for fsspec, as its filesystem for the URL's scheme takes them.
        filesystem: an fsspec filesystem to use as it is, with its credentials.

    Raises:
        InvalidArgumentError: the URL, the scheme or the attempt makes no sense.
        StoreUnavailableError: the store did not answer.
    """
    store, key = open_store(url, filesystem=filesystem, storage_options=storage_options)
    if not read_only:
        store = settle(store, key, SystemClock())
    patient = Retrying(store, SystemClock())
    node = node_at(patient, key, attempt=attempt, read_only=read_only)
    node = replace(node, origins=seed_of(patient, node.root, seed))
    return Checkpoints(Session(store, node, retention=retention), read_only=read_only)
