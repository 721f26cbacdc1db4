"""The drop-in: flytekit's `Checkpoint`, with the pointer behind it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, overload

from flytekit.core.checkpointer import Checkpoint as FlyteCheckpoint

from ckptptr.checkpoint import Checkpoint
from ckptptr.checkpoints import Checkpoints
from ckptptr.flyte.cohort import Cohort
from ckptptr.flyte.errors import RecoverablePreemptedError, recoverable, recoverably
from ckptptr.protocol.resolve import Resolution
from ckptptr.session.batch import Batch
from ckptptr.session.content import Saveable
from ckptptr.session.preemption import DEADLINE, SIGNALS, Preemption
from ckptptr.transfer.writer import Stream


@dataclass(slots=True)
class _Opened:
    """What one process has; `lock` is held while it changes."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    checkpoints: Checkpoints | None = None
    restored: Path | None = None


class PointerCheckpoint(FlyteCheckpoint):  # type: ignore[misc]
    """What `flytekit.current_context().checkpoint` is in a task.

    The methods of stock flytekit do what stock tasks expect; the rest is more. What another attempt
    may cure (the store does not answer, a newer attempt has taken over) leaves as a recoverable
    error, so that Flyte retries.

    Any thread may use it, and a process forked from the one that made it: that opens the checkpoints
    for itself. The ranks of a distributed task all restore the same one (`ckptptr.flyte.cohort`).

    Args:
        checkpoint_dest: the home that Flyte gave; the elastic plugin reads it off
            `_checkpoint_dest` and hands it to its workers.
        checkpoint_src: what Flyte gave as the previous home; likewise.
        opening: makes the checkpoints; called when a process first needs them.
    """

    def __init__(
        self, checkpoint_dest: str, checkpoint_src: str | None, opening: Callable[[], Checkpoints]
    ) -> None:
        self._checkpoint_dest = checkpoint_dest
        self._checkpoint_src = checkpoint_src
        self._opening = opening
        self._opened: dict[int, _Opened] = {}

    @property
    def checkpoints(self) -> Checkpoints:
        """The same without flytekit's manners."""
        here = self._here
        if here.checkpoints is None:
            with here.lock:
                here.checkpoints = here.checkpoints or self._opening()
        return here.checkpoints

    @property
    def _here(self) -> _Opened:
        # A lock and a connection that were there before a fork are of no use after it.
        return self._opened.setdefault(os.getpid(), _Opened())

    @property
    def resolution(self) -> Resolution | None:
        """What `restore` returned, from where, what it rejected and why.

        None before it ran, and where it started fresh because another rank had.
        """
        return self.checkpoints.resolution

    def prev_exists(self) -> bool:
        """Whether there is something to restore, from whichever attempt.

        Raises: as `restore`.
        """
        here = self._here
        with here.lock, recoverable():
            return here.restored is not None or Cohort.of().exists(self.checkpoints)

    def restore(
        self, path: str | os.PathLike[str] | None = None, *, checkpoint: str | None = None
    ) -> Path | None:
        """The newest good checkpoint in the folder `path`; None where there is none, which was proven.

        A second call returns the same folder, as in stock flytekit.

        Args:
            path: as of `ckptptr.Checkpoints.restore`.
            checkpoint: restore just that one, also after another, and move nothing.

        Raises: see `ckptptr.Checkpoints.restore`; recoverable where another attempt may help.
        """
        here = self._here
        with here.lock, recoverable():
            if checkpoint is not None:
                here.restored = self.checkpoints.restore(path, checkpoint=checkpoint)
            elif here.restored is None:
                here.restored = Cohort.of().restore(self.checkpoints, path)
            return here.restored

    @overload
    def save(
        self,
        cp: Saveable,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        block: Literal[True] = True,
    ) -> Checkpoint: ...

    @overload
    def save(
        self,
        cp: Saveable,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        block: Literal[False],
        consume: bool = False,
    ) -> Future[Checkpoint]: ...

    @overload
    def save(
        self,
        cp: Saveable,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        block: bool,
        consume: bool = False,
    ) -> Checkpoint | Future[Checkpoint]: ...

    def save(
        self,
        cp: Saveable,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        block: bool = True,
        consume: bool = False,
    ) -> Checkpoint | Future[Checkpoint]:
        """Save a file (added to the content), a folder, or a reader (either replaces it), and confirm it.

        With `block=False` in the background: see `ckptptr.Checkpoints.save`.

        Raises: see `ckptptr.Checkpoints.save`; recoverable where another attempt may help.
        """
        with recoverable():
            saved = self.checkpoints.save(cp, step=step, metadata=metadata, block=block, consume=consume)
            return recoverably(saved) if isinstance(saved, Future) else saved

    def read(self) -> bytes | None:
        """The bytes of the checkpoint's only file; None where there is no checkpoint.

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
        """Save bytes: they replace the content."""
        return self.save(b)

    @contextmanager
    def batch(self, *, step: int | None = None, metadata: Mapping[str, Any] | None = None) -> Iterator[Batch]:
        """Several saves as one checkpoint: see `ckptptr.Checkpoints.batch`."""
        with recoverable(), self.checkpoints.batch(step=step, metadata=metadata) as batch:
            yield batch

    @contextmanager
    def writer(
        self, name: str, *, step: int | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Iterator[Stream]:
        """Write one file straight into the store: see `ckptptr.Checkpoints.writer`."""
        with recoverable(), self.checkpoints.writer(name, step=step, metadata=metadata) as stream:
            yield stream

    def open(self, name: str | None = None) -> BufferedReader:
        """Read one file of the current checkpoint as it is needed: see `ckptptr.Checkpoints.open`."""
        with recoverable():
            return self.checkpoints.open(name)

    def history(self) -> list[Checkpoint]:
        """The checkpoints that can be chosen from, the current one first."""
        with recoverable():
            return self.checkpoints.history()

    def on_preemption(
        self,
        save: Callable[[], object] | None = None,
        *,
        deadline: float = DEADLINE,
        signals: Iterable[int] = SIGNALS,
        interrupt: bool = True,
    ) -> Preemption:
        """A `with` block that SIGTERM ends after one last save: see `ckptptr.Checkpoints.on_preemption`.

            with checkpoint().on_preemption(lambda: checkpoint().save("model/", step=step)):
                train()

        The error that it raises asks Flyte for another attempt. It is an `Exception`, as flytekit
        wants it: code that swallows those goes on until its next save, or the end of the block.
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
        """Until saves, sweeps and forward copies that run in the background are done.

        Raises: what a save in the background failed with.
        """
        with recoverable():
            self.checkpoints.wait()
