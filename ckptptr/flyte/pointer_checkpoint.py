"""The drop-in: flytekit's `Checkpoint`, with `ckptptr.Checkpoints` behind it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload

from flytekit.core.checkpointer import Checkpoint as FlyteCheckpoint

from ckptptr.checkpoints import Checkpoint, Checkpoints
from ckptptr.errors import InvalidArgumentError
from ckptptr.flyte.errors import RecoverablePreemptedError, recoverable, recoverably
from ckptptr.protocol.resolve import Resolution
from ckptptr.protocol.retention import Retention
from ckptptr.session.batch import Batch
from ckptptr.session.cohort import Cohort
from ckptptr.session.content import Saveable
from ckptptr.session.parts import DEADLINE as PARTS_DEADLINE
from ckptptr.session.parts import Parts
from ckptptr.session.preemption import DEADLINE, SIGNALS, Preemption
from ckptptr.transfer.folder import Links
from ckptptr.transfer.writer import Stream

_Step: TypeAlias = int | None
_Meta: TypeAlias = Mapping[str, Any] | None
_Ignore: TypeAlias = str | Iterable[str] | None


@dataclass(slots=True)
class _Opened:
    """What one process has; `lock` is held while it changes."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    checkpoints: Checkpoints | None = None
    restored: Path | None = None


class PointerCheckpoint(FlyteCheckpoint):  # type: ignore[misc]
    """What `flytekit.current_context().checkpoint` is in a task: `ckptptr.Checkpoints` in flytekit's manners.

    `restore`, `save`, `read`, `write` and `prev_exists` do what stock tasks expect. Every other method is
    that of `ckptptr.Checkpoints`. An error that another attempt may cure (the store does not answer, a newer
    attempt has taken over) is also flytekit's `FlyteRecoverableException`, so that Flyte retries.

    Any thread may use it, and so may a process that was forked from the one that made it: that process opens
    the checkpoints for itself. All ranks of a distributed task restore the same one (`session.cohort`).

    Args:
        checkpoint_dest: the home that Flyte gave. The elastic plugin reads `_checkpoint_dest` and hands it to
            its workers.
        checkpoint_src: the previous home that Flyte gave; likewise.
        opening: makes the checkpoints; called when a process first needs them.
    """

    def __init__(
        self, checkpoint_dest: str, checkpoint_src: str | None, opening: Callable[[], Checkpoints]
    ) -> None:
        self._checkpoint_dest = checkpoint_dest
        self._checkpoint_src = checkpoint_src
        self._opening = opening
        self._opened: dict[int, _Opened] = {}
        self._retention: Retention | None = None

    @property
    def checkpoints(self) -> Checkpoints:
        """The same checkpoints without flytekit's manners."""
        here = self._here
        if here.checkpoints is None:
            with here.lock, recoverable():
                here.checkpoints = here.checkpoints or self._open()
        return here.checkpoints

    def _open(self) -> Checkpoints:
        made = self._opening()
        if self._retention is not None:
            made._session.retain(self._retention)
        return made

    @property
    def _here(self) -> _Opened:
        # A lock and a connection from before a fork are of no use after it.
        return self._opened.setdefault(os.getpid(), _Opened())

    def retain(self, retention: Retention) -> None:
        """Keep what `retention` says, in place of `CKPTPTR_KEEP_LAST` and the like.

        Raises:
            InvalidArgumentError: another retention was given, or something was saved under another one.
        """
        here = self._here
        with here.lock:
            if self._retention not in (None, retention):
                raise InvalidArgumentError(
                    f"this task was given another retention before, {self._retention}",
                    hint="Give the same one everywhere, or give it once",
                )
            if here.checkpoints is not None:
                here.checkpoints._session.retain(retention)
            self._retention = retention

    @property
    def attempt(self) -> int:
        """See `ckptptr.Checkpoints.attempt`."""
        return self.checkpoints.attempt

    @property
    def resolution(self) -> Resolution | None:
        """See `ckptptr.Checkpoints.resolution`; also None if another rank decided for a fresh start."""
        return self.checkpoints.resolution

    @property
    def latest(self) -> Checkpoint | None:
        """See `ckptptr.Checkpoints.latest`."""
        with recoverable():
            return self.checkpoints.latest

    def prev_exists(self) -> bool:
        """Whether there is something to restore, from any attempt.

        Raises: as `restore`.
        """
        here = self._here
        with here.lock, recoverable():
            return here.restored is not None or Cohort.of().exists(self.checkpoints.look)

    def restore(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        checkpoint: str | None = None,
        step: int | None = None,
        only: str | Iterable[str] | None = None,
    ) -> Path | None:
        """The newest good checkpoint in the folder `path`: see `ckptptr.Checkpoints.restore`.

        A second call returns the same folder, as in stock flytekit. With `checkpoint` or `step` exactly that
        one is restored, also after another one, and each rank gets what it asks for.
        """
        here = self._here
        with here.lock, recoverable():
            if checkpoint is not None or step is not None:
                here.restored = self.checkpoints.restore(path, checkpoint=checkpoint, step=step, only=only)
            elif here.restored is None:
                here.restored = self.checkpoints.restore(path, only=only)
            return here.restored

    @overload
    def save(
        self,
        cp: Saveable,
        *,
        step: _Step = None,
        metadata: _Meta = None,
        block: Literal[True] = True,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> Checkpoint: ...
    @overload
    def save(
        self,
        cp: Saveable,
        *,
        step: _Step = None,
        metadata: _Meta = None,
        block: Literal[False],
        consume: bool = False,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> Future[Checkpoint]: ...
    @overload
    def save(
        self,
        cp: Saveable,
        *,
        step: _Step = None,
        metadata: _Meta = None,
        block: bool,
        consume: bool = False,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> Checkpoint | Future[Checkpoint]: ...
    def save(
        self,
        cp: Saveable,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        block: bool = True,
        consume: bool = False,
        ignore: str | Iterable[str] | None = None,
        links: Links | None = None,
    ) -> Checkpoint | Future[Checkpoint]:
        """Save a file (added to the content), or a folder, bytes or a reader (the whole content).

        See `ckptptr.Checkpoints.save`.
        """
        options: dict[str, Any] = {"step": step, "metadata": metadata, "ignore": ignore, "links": links}
        with recoverable():
            saved = self.checkpoints.save(cp, block=block, consume=consume, **options)
            return recoverably(saved) if isinstance(saved, Future) else saved

    def add(
        self,
        file: str | os.PathLike[str],
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Checkpoint:
        """See `ckptptr.Checkpoints.add`."""
        with recoverable():
            return self.checkpoints.add(file, step=step, metadata=metadata)

    def parts(
        self, rank: int | None = None, world_size: int | None = None, *, deadline: float = PARTS_DEADLINE
    ) -> Parts[Checkpoint]:
        """See `ckptptr.Checkpoints.parts`."""
        with recoverable():
            parts = self.checkpoints.parts(rank, world_size, deadline=deadline)
        parts.guard = recoverable
        return parts

    def read(self) -> bytes | None:
        """The bytes of the checkpoint's only file; None if there is no checkpoint.

        Raises:
            ValueError: it has several files, as in stock flytekit: `restore` them.
        """
        folder = self.restore()
        found = self.resolution.found if self.resolution else None
        if folder is None or found is None or not found.files:
            return None
        if len(found.files) > 1:
            names = ", ".join(record.path for record in found.files[:5])
            raise ValueError(f"Expected exactly one checkpoint - found {len(found.files)} ({names})")
        return (folder / found.files[0].path).read_bytes()

    def write(self, b: bytes) -> Checkpoint:
        """Save bytes as the whole content."""
        return self.save(b)

    @contextmanager
    def batch(
        self,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        ignore: str | Iterable[str] | None = None,
        links: Links | None = None,
    ) -> Iterator[Batch]:
        """See `ckptptr.Checkpoints.batch`."""
        options: dict[str, Any] = {"step": step, "metadata": metadata, "ignore": ignore, "links": links}
        with recoverable(), self.checkpoints.batch(**options) as batch:
            yield batch

    @contextmanager
    def writer(
        self, name: str, *, step: int | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Iterator[Stream]:
        """See `ckptptr.Checkpoints.writer`."""
        with recoverable(), self.checkpoints.writer(name, step=step, metadata=metadata) as stream:
            yield stream

    def open(self, name: str | None = None) -> BufferedReader:
        """See `ckptptr.Checkpoints.open`."""
        with recoverable():
            return self.checkpoints.open(name)

    def look(self) -> Resolution:
        """See `ckptptr.Checkpoints.look`."""
        with recoverable():
            return self.checkpoints.look()

    def history(self) -> list[Checkpoint]:
        """See `ckptptr.Checkpoints.history`."""
        with recoverable():
            return self.checkpoints.history()

    def pin(self, checkpoint: str, *, note: str = "") -> None:
        """See `ckptptr.Checkpoints.pin`."""
        with recoverable():
            self.checkpoints.pin(checkpoint, note=note)

    def unpin(self, checkpoint: str) -> None:
        """See `ckptptr.Checkpoints.unpin`."""
        with recoverable():
            self.checkpoints.unpin(checkpoint)

    def on_preemption(
        self,
        save: Callable[[], object] | None = None,
        *,
        deadline: float = DEADLINE,
        signals: Iterable[int] = SIGNALS,
        interrupt: bool = True,
    ) -> Preemption:
        """See `ckptptr.Checkpoints.on_preemption`.

            with checkpoint().on_preemption(lambda: checkpoint().save("model/", step=step)):
                train()

        Its error asks Flyte for another attempt. It is an `Exception`, as flytekit wants it: code that
        swallows those goes on until its next save, or the end of the block.
        """
        with recoverable():
            return self.checkpoints.on_preemption(
                save,
                deadline=deadline,
                signals=signals,
                interrupt=interrupt,
                raises=RecoverablePreemptedError,
            )

    def wait(self) -> None:
        """See `ckptptr.Checkpoints.wait`."""
        with recoverable():
            self.checkpoints.wait()
