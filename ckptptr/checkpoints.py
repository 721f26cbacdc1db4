"""What a user holds: `ckptptr.open(url)` and the `Checkpoints` it returns."""

from __future__ import annotations

import operator
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from ckptptr.clock import SystemClock
from ckptptr.content import Change, Saveable, change
from ckptptr.errors import InvalidArgumentError, PreemptedError
from ckptptr.opening import node_at
from ckptptr.preemption import DEADLINE, SIGNALS, Preemption
from ckptptr.protocol.choose import Chooser
from ckptptr.protocol.inventory import describe
from ckptptr.protocol.manifest import plain_metadata
from ckptptr.protocol.pointer import Target
from ckptptr.protocol.resolve import Resolution
from ckptptr.protocol.retention import Retention
from ckptptr.restoring import Restorer
from ckptptr.saving import Saver
from ckptptr.session import Session
from ckptptr.stores import open_store
from ckptptr.stores.probe import settle
from ckptptr.stores.retry import Retrying

_T = TypeVar("_T")


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
        self._preemption: Preemption | None = None

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
            NotFoundError, DamagedError: only with `checkpoint`: it is not to be had.
        """
        destination = Path(path) if path is not None else self._temporary_folder()
        if destination.exists() and not destination.is_dir():
            raise InvalidArgumentError("a checkpoint is restored to a folder", key=str(destination))

        def restore() -> Resolution:
            if checkpoint is None:
                return self._restorer.restore(destination)
            return self._restorer.restore_named(destination, checkpoint)

        self._resolution = self._run(restore, is_save=False)
        return destination if self._resolution.found is not None else None

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

    def on_preemption(
        self,
        save: Callable[[], object] | None = None,
        *,
        deadline: float = DEADLINE,
        signals: Iterable[int] = SIGNALS,
        raises: type[PreemptedError] = PreemptedError,
    ) -> Preemption:
        """A `with` block in which SIGTERM ends what runs, after one last save, within a deadline.

            with checkpoints.on_preemption(lambda: checkpoints.save("model/", step=step)):
                for step in range(start, steps):
                    train_one_step()

        When the signal comes, `PreemptedError` is raised in the main thread, wherever that is: in the
        middle of a step too. A save that is under way at that moment is finished first, and is the
        last one. Else the end of the block calls `save`. What has not finished by the deadline is
        abandoned: it sends no further request, and LATEST stays on the last whole checkpoint. Then
        the block raises `PreemptedError`, which tells what became of it; so it does too where code
        inside swallowed the first one. After that the process should end: nothing of ours holds it
        beyond the deadline.

        More signals are ignored meanwhile. A restore is abandoned at once, and `save` not called. What
        a Python handler that was there before does, is done after the last save; it is put back. Python
        handles signals between two of its own instructions: not while a C function computes.

        Args:
            save: saves what is there, whole steps only; it may find that there is nothing yet, and
                return. It runs in another thread, with the context variables of this one.
            deadline: seconds from the signal; Kubernetes grants 30 in all, unless told otherwise.
            signals: which ones are meant.
            raises: the error to raise.

        Raises:
            InvalidArgumentError: not in the main thread; no such deadline or signal; a block of these
                checkpoints inside another one.
            PreemptedError: the signal came.
        """
        if self._preemption is not None and self._preemption.is_in_force:
            raise InvalidArgumentError("on_preemption is in force already", key=self._session.latest.url)
        self._preemption = Preemption(self._session, save, deadline=deadline, signals=signals, raises=raises)
        return self._preemption

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
        whole, plain = _whole(step), plain_metadata(metadata or {})
        published = self._run(lambda: self._saver.save(change, whole, plain), is_save=True)
        node = self._session.node
        return self._describe(describe(node.root, node.home, published.manifest))

    def _run(self, work: Callable[[], _T], *, is_save: bool) -> _T:
        preemption = self._preemption
        if preemption is None or not preemption.is_in_force:
            return work()
        return preemption.run(work, is_save=is_save)

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

    def _refuse_read_only(self) -> None:
        if self._read_only:
            raise InvalidArgumentError("this was opened read-only", key=self._session.latest.url)

    def _temporary_folder(self) -> Path:
        """A folder that is gone when this object is: flytekit never closes its checkpoint."""
        folder = Path(tempfile.mkdtemp(prefix="ckptptr-"))
        self._cleanups.append(weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True))
        return folder


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
    return Checkpoints(Session(store, node, retention=retention), read_only=read_only)
