"""The drop-in: flytekit's `Checkpoint`, with the pointer behind it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from flytekit.core.checkpointer import Checkpoint as FlyteCheckpoint

from ckptptr.checkpoints import Batch, Checkpoint, Checkpoints
from ckptptr.content import Saveable
from ckptptr.flyte.errors import RecoverablePreemptedError, recoverable
from ckptptr.preemption import DEADLINE, SIGNALS, Preemption
from ckptptr.protocol.resolve import Resolution


class PointerCheckpoint(FlyteCheckpoint):  # type: ignore[misc]
    """What `flytekit.current_context().checkpoint` is in a task.

    The methods of stock flytekit do what stock tasks expect; the rest is more. What another attempt
    may cure (the store does not answer, a newer attempt has taken over) leaves as a recoverable
    error, so that Flyte retries.

    Args:
        checkpoint_dest: the home that Flyte gave; the elastic plugin reads it off
            `_checkpoint_dest` and hands it to its workers.
        checkpoint_src: what Flyte gave as the previous home; likewise.
        opening: makes the checkpoints; called when they are first needed.
    """

    def __init__(
        self, checkpoint_dest: str, checkpoint_src: str | None, opening: Callable[[], Checkpoints]
    ) -> None:
        self._checkpoint_dest = checkpoint_dest
        self._checkpoint_src = checkpoint_src
        self._opening = opening
        self._restored: Path | None = None

    @cached_property
    def checkpoints(self) -> Checkpoints:
        """The same without flytekit's manners."""
        return self._opening()

    @property
    def resolution(self) -> Resolution | None:
        """What `restore` returned, from where, what it rejected and why; None before it ran."""
        return self.checkpoints.resolution

    def prev_exists(self) -> bool:
        """Whether there is something to restore, from whichever attempt.

        Raises: as `restore`.
        """
        if self._restored is not None:
            return True
        with recoverable():
            return self.checkpoints.look().found is not None

    def restore(self, path: str | os.PathLike[str] | None = None) -> Path | None:
        """The newest good checkpoint in the folder `path`; None where there is none, which was proven.

        A second call returns the same folder, as in stock flytekit.

        Raises: see `ckptptr.Checkpoints.restore`; recoverable where another attempt may help.
        """
        if self._restored is None:
            with recoverable():
                self._restored = self.checkpoints.restore(path)
        return self._restored

    def save(
        self, cp: Saveable, *, step: int | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Checkpoint:
        """Save a file (added to the content), a folder, or a reader (either replaces it), and confirm it.

        Raises: see `ckptptr.Checkpoints.save`; recoverable where another attempt may help.
        """
        with recoverable():
            return self.checkpoints.save(cp, step=step, metadata=metadata)

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
    ) -> Preemption:
        """A `with` block that SIGTERM ends after one last save: see `ckptptr.Checkpoints.on_preemption`.

            with checkpoint().on_preemption(lambda: checkpoint().save("model/", step=step)):
                train()

        The error that it raises asks Flyte for another attempt. It is an `Exception`, as flytekit
        wants it: code that swallows those goes on until its next save, or the end of the block.
        """
        with recoverable():
            return self.checkpoints.on_preemption(
                save, deadline=deadline, signals=signals, raises=RecoverablePreemptedError
            )

    def wait(self) -> None:
        """Until sweeps and forward copies that run in the background are done."""
        self.checkpoints.wait()
