"""What a user holds: the checkpoints of one node."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, overload

from ckptptr.errors import InvalidArgumentError, NotFoundError, PreemptedError
from ckptptr.lifetime.temporary import TemporaryFolders
from ckptptr.protocol.choose import Chooser
from ckptptr.protocol.inventory import describe
from ckptptr.protocol.manifest import check_path, plain_metadata
from ckptptr.protocol.pointer import Target
from ckptptr.protocol.resolve import Resolution
from ckptptr.session.batch import Batch
from ckptptr.session.content import Change, Saveable, change
from ckptptr.session.preemption import DEADLINE, SIGNALS, Preemption
from ckptptr.session.restore import Restorer
from ckptptr.session.save import Saver
from ckptptr.session.session import Session
from ckptptr.session.turns import Turns
from ckptptr.transfer.reader import Member
from ckptptr.transfer.writer import Stream


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

    @classmethod
    def of(cls, target: Target, session: Session) -> Checkpoint:
        """What LATEST says of it, and where it is."""
        return cls(
            reference=target.checkpoint,
            url=session.store.url(session.node.root.key(target.checkpoint)),
            step=target.step,
            attempt=target.attempt,
            seq=target.seq,
            bytes=target.bytes,
            published_at=target.published_at,
            pinned=target.pinned,
        )


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
        self._turns = Turns(session, self._save)
        self._temporary = TemporaryFolders()
        self._resolution: Resolution | None = None

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
        if block and consume:
            raise InvalidArgumentError(
                "files are given away to a save that nobody waits for", hint="Add block=False"
            )
        self._turns.begin(waits=block)
        whole, plain = _whole(step), plain_metadata(metadata or {})
        if block:
            return self._turns.save(change(content), whole, plain)
        return self._turns.save_in_background(change(content), whole, plain, consume=consume)

    @contextmanager
    def batch(self, *, step: int | None = None, metadata: Mapping[str, Any] | None = None) -> Iterator[Batch]:
        """Several saves as one checkpoint, so that a kill between them leaves no mix of steps.

            with checkpoints.batch(step=100) as batch:
                batch.save("model.pt")
                batch.save("optimizer.pt")

        Nothing is saved where the block raises.
        """
        self._refuse_read_only()
        self._turns.begin(waits=False)
        batch, whole, plain = Batch(), _whole(step), plain_metadata(metadata or {})
        yield batch
        self._turns.begin()
        self._turns.save(batch.change, whole, plain)

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
        self._turns.begin()
        path, whole, plain = check_path(name), _whole(step), plain_metadata(metadata or {})
        with self._turns.save_while_written(path, whole, plain) as stream:
            yield stream

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
        destination = Path(path) if path is not None else self._temporary.new()
        self._turns.begin()
        if destination.exists() and not destination.is_dir():
            raise InvalidArgumentError("a checkpoint is restored to a folder", key=str(destination))

        def restore() -> Resolution:
            if checkpoint is None:
                return self._restorer.restore(destination)
            return self._restorer.restore_named(destination, checkpoint)

        self._resolution = self._turns.restore(restore)
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
        self._turns.begin()
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
        return self._turns.under(
            Preemption(
                self._session,
                save,
                settle=self._turns.wait_for_background,
                deadline=deadline,
                signals=signals,
                interrupt=interrupt,
                raises=raises,
            )
        )

    def wait(self) -> None:
        """Until saves, sweeps and forward copies that run in the background are done.

        Raises: what a save in the background failed with.
        """
        self._turns.finish()
        self._session.background.wait()

    def close(self) -> None:
        """Wait, and let go of threads and temporary folders. Called at the end of a `with` block."""
        try:
            self._turns.finish()
        finally:
            self._session.background.close()
        self._temporary.remove()

    def _save(self, change: Change, step: int | None, metadata: dict[str, Any]) -> Checkpoint:
        published, node = self._saver.save(change, step, metadata), self._session.node
        return Checkpoint.of(describe(node.root, node.home, published.manifest), self._session)

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


def _whole(step: int | None) -> int | None:
    """A step as JSON has it, also where numpy or torch counted."""
    try:
        return None if step is None else operator.index(step)
    except TypeError:
        raise InvalidArgumentError(f"step is {step!r}, not a whole number") from None
