"""What a user holds: the checkpoints of one node."""

from __future__ import annotations

import operator
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

from ckptptr.checkpoint import Checkpoint
from ckptptr.errors import InvalidArgumentError, NotFoundError, PreemptedError
from ckptptr.lifetime import daemon
from ckptptr.protocol.choose import Chooser
from ckptptr.protocol.inventory import describe
from ckptptr.protocol.manifest import check_path, plain_metadata
from ckptptr.protocol.resolve import Resolution
from ckptptr.session.background_saves import Asynchronous
from ckptptr.session.batch import Batch
from ckptptr.session.content import Change, Saveable, change
from ckptptr.session.preemption import DEADLINE, SIGNALS, Preemption
from ckptptr.session.restore import Restorer
from ckptptr.session.save import Saver
from ckptptr.session.session import Session
from ckptptr.session.snapshot import snapshot
from ckptptr.transfer.plan import UNKNOWN, Local
from ckptptr.transfer.reader import Member
from ckptptr.transfer.writer import Stream

_T = TypeVar("_T")


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
        self._asynchronous = Asynchronous(
            partial(self._save, in_background=True), lambda: session.background.until
        )
        self._cleanups: list[Callable[[], object]] = []
        self._resolution: Resolution | None = None
        self._writing: int | None = None
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

    @overload
    def save(
        self,
        content: Saveable,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        block: Literal[True] = True,
    ) -> Checkpoint: ...

    @overload
    def save(
        self,
        content: Saveable,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        block: Literal[False],
        consume: bool = False,
    ) -> Future[Checkpoint]: ...

    @overload
    def save(
        self,
        content: Saveable,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        block: bool,
        consume: bool = False,
    ) -> Checkpoint | Future[Checkpoint]: ...

    def save(
        self,
        content: Saveable,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        block: bool = True,
        consume: bool = False,
    ) -> Checkpoint | Future[Checkpoint]:
        """Make a checkpoint and confirm it: when this returns, a later restore finds it.

        With `block=False` it returns as soon as the content cannot change any more, and the checkpoint
        is made in the background. One at a time: of those that wait the newest wins, and the result of
        each is the checkpoint that has its content in it. An error is raised by the next call, or by
        `wait`. The end of the process waits for what is under way, for `CKPTPTR_EXIT_DEADLINE` seconds
        (600).

        Args:
            content: a folder or bytes (they replace the content), a reader (as bytes), or a file
                (added to the content, or replacing the file of its name).
            step: of the training, for people and for retention.
            metadata: anything that JSON can say.
            block: False: do not wait.
            consume: with `block=False`: the files are given away, and renamed instead of copied.

        Raises:
            InvalidArgumentError: `content` cannot be saved, or changed meanwhile.
            SupersededError: a newer attempt has taken over; stop.
            StoreUnavailableError, OutcomeUnknownError: it is not confirmed. What was confirmed
                before still is.
        """
        self._refuse_read_only()
        self._refuse_inside_a_writer()
        if block:
            if consume:
                raise InvalidArgumentError(
                    "files are given away to a save that nobody waits for", hint="Add block=False"
                )
            self._settle()
            return self._save(change(content), _whole(step), plain_metadata(metadata or {}))
        self._asynchronous.raise_failure()
        whole, plain = _whole(step), plain_metadata(metadata or {})
        return self._asynchronous.submit(snapshot(change(content), consume=consume), whole, plain)

    @contextmanager
    def batch(self, *, step: int | None = None, metadata: Mapping[str, Any] | None = None) -> Iterator[Batch]:
        """Several saves as one checkpoint, so that a kill between them leaves no mix of steps.

            with checkpoints.batch(step=100) as batch:
                batch.save("model.pt")
                batch.save("optimizer.pt")

        Nothing is saved where the block raises.
        """
        self._refuse_read_only()
        self._refuse_inside_a_writer()
        batch, whole, plain = Batch(), _whole(step), plain_metadata(metadata or {})
        yield batch
        self._settle()
        self._save(batch.change, whole, plain)

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
        self._settle()
        stream = Stream(check_path(name), self._session.store.block_size)
        change = Change({name: Local(name, stream, UNKNOWN)})
        whole, plain = _whole(step), plain_metadata(metadata or {})
        upload = daemon.start(lambda: self._save(change, whole, plain))
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
        self._settle()
        if destination.exists() and not destination.is_dir():
            raise InvalidArgumentError("a checkpoint is restored to a folder", key=str(destination))

        def restore() -> Resolution:
            if checkpoint is None:
                return self._restorer.restore(destination)
            return self._restorer.restore_named(destination, checkpoint)

        self._resolution = self._run(restore, is_save=False)
        return destination if self._resolution.found is not None else None

    def open(self, name: str | None = None) -> BufferedReader:
        """Read one file of the current checkpoint as it is needed, without a restore.

            with checkpoints.open("tokens.bin") as file:
                head = file.read(1024)

        The current checkpoint is what was last saved or restored here, else the newest good one, which
        is taken up as by a restore. The digest is checked where the file is read from beginning to end,
        in order; `file.raw.is_verified` tells, and the log where it was not: `torch.load` and safetensors
        jump, and for those a restore is the verified way.

        Args:
            name: its path in the checkpoint; its only file where it is not given.

        Raises:
            NotFoundError: there is no checkpoint, or it has no such file.
            DamagedError: while reading: it is not what was saved.
            StoreUnavailableError and others: as `restore`.
        """
        self._refuse_inside_a_writer()
        self._settle()
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
        return [Checkpoint.of(target, self._session) for target in pointer.retained] if pointer else []

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
        interrupt: bool = True,
        raises: type[PreemptedError] = PreemptedError,
    ) -> Preemption:
        """A `with` block in which SIGTERM ends what runs, after one last save, within a deadline.

            with checkpoints.on_preemption(lambda: checkpoints.save("model/", step=step)):
                for step in range(start, steps):
                    train_one_step()

        When the signal comes, `PreemptedError` is raised in the main thread, wherever that is: in the
        middle of a step too. A save that is under way at that moment is finished first, and is the
        last one, unless it is one in the background (`block=False`). Else the end of the block calls
        `save`. What has not finished by the deadline is abandoned: it sends no further request, and
        LATEST stays on the last whole checkpoint. Then the block raises `PreemptedError`, which tells
        what became of it; so it does too where code inside swallowed the first one. After that the
        process should end: nothing of ours holds it beyond the deadline.

        More signals are ignored meanwhile. A restore is abandoned at once, and `save` not called. What
        a Python handler that was there before does, is done after the last save; it is put back. Python
        handles signals between two of its own instructions: not while a C function computes.

        Args:
            save: saves what is there, whole steps only; it may find that there is nothing yet, and
                return. It runs in another thread, with the context variables of this one.
            deadline: seconds from the signal; Kubernetes grants 30 in all, unless told otherwise.
            signals: which ones are meant.
            interrupt: False: nothing is raised before the next save, or the next `check()` of what the
                block is entered as: so a model is never half updated when `save` is called.
            raises: the error to raise.

        Raises:
            InvalidArgumentError: not in the main thread; no such deadline or signal; a block of these
                checkpoints inside another one.
            PreemptedError: the signal came.
        """
        if self._preemption is not None and self._preemption.is_in_force:
            raise InvalidArgumentError("on_preemption is in force already", key=self._session.latest.url)
        self._preemption = Preemption(
            self._session,
            save,
            settle=self._asynchronous.wait,
            deadline=deadline,
            signals=signals,
            interrupt=interrupt,
            raises=raises,
        )
        return self._preemption

    def wait(self) -> None:
        """Until saves, sweeps and forward copies that run in the background are done.

        Raises: what a save in the background failed with.
        """
        self._settle()
        self._session.background.wait()

    def close(self) -> None:
        """Wait, and let go of threads and temporary folders. Called at the end of a `with` block."""
        try:
            self._settle()
        finally:
            self._session.background.close()
        for cleanup in self._cleanups:
            cleanup()

    def _settle(self) -> None:
        """Let the saves in the background come first; raise what one of them failed with."""
        self._asynchronous.wait()
        self._asynchronous.raise_failure()

    def _save(
        self, change: Change, step: int | None, metadata: dict[str, Any], *, in_background: bool = False
    ) -> Checkpoint:
        published = self._run(
            lambda: self._saver.save(change, step, metadata), is_save=True, in_background=in_background
        )
        node = self._session.node
        return Checkpoint.of(describe(node.root, node.home, published.manifest), self._session)

    def _run(self, work: Callable[[], _T], *, is_save: bool, in_background: bool = False) -> _T:
        preemption = self._preemption
        if preemption is None or not preemption.is_in_force:
            return work()
        return preemption.run(work, is_save=is_save, in_background=in_background)

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
