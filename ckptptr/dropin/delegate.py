"""What the drop-ins of both Flyte SDKs share: `ckptptr.Checkpoints`, opened by each process for itself."""

from __future__ import annotations

import os
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

from ckptptr.checkpoints import Checkpoint, Checkpoints
from ckptptr.errors import InvalidArgumentError
from ckptptr.protocol.resolve import Resolution
from ckptptr.protocol.retention import Retention
from ckptptr.session.batch import Batch
from ckptptr.session.cohort import Cohort
from ckptptr.session.parts import DEADLINE as PARTS_DEADLINE
from ckptptr.session.parts import Parts
from ckptptr.transfer.folder import Links
from ckptptr.transfer.writer import Stream


@dataclass(slots=True)
class _Opened:
    """What one process has; `lock` is held while it changes."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    checkpoints: Checkpoints | None = None
    restored: Path | None = None


class Delegate:
    """The checkpoints of a task, in the manners of its SDK.

    Every method raises the errors that `_manners` makes of ours. Any thread may use it, and so may a process
    that was forked from the one that made it: that process opens the checkpoints for itself. All ranks of a
    distributed task restore the same one: see `ckptptr.session.cohort`.

    Args:
        opening: makes the checkpoints; called when a process first needs them.
    """

    def __init__(self, opening: Callable[[], Checkpoints]) -> None:
        self._opening = opening
        self._opened: dict[int, _Opened] = {}
        self._retention: Retention | None = None

    @abstractmethod
    def _manners(self) -> AbstractContextManager[None]:
        """Raise the SDK's errors in place of ours."""

    @property
    def checkpoints(self) -> Checkpoints:
        """The same checkpoints without flytekit's manners."""
        here = self._here
        if here.checkpoints is None:
            with here.lock, self._manners():
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
        with self._manners():
            return self.checkpoints.latest

    def prev_exists(self) -> bool:
        """Whether there is something to restore, from any attempt.

        Raises: as `restore`.
        """
        here = self._here
        with here.lock, self._manners():
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
        one is restored, also after another one, and each rank gets what it asks for. With `only` each call
        restores what it asks for.
        """
        here = self._here
        with here.lock, self._manners():
            if only is not None:
                return self.checkpoints.restore(path, checkpoint=checkpoint, step=step, only=only)
            if checkpoint is not None or step is not None or here.restored is None:
                here.restored = self.checkpoints.restore(path, checkpoint=checkpoint, step=step)
            return here.restored

    def add(
        self,
        file: str | os.PathLike[str],
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Checkpoint:
        """See `ckptptr.Checkpoints.add`."""
        with self._manners():
            return self.checkpoints.add(file, step=step, metadata=metadata)

    def parts(
        self, rank: int | None = None, world_size: int | None = None, *, deadline: float = PARTS_DEADLINE
    ) -> Parts[Checkpoint]:
        """See `ckptptr.Checkpoints.parts`."""
        with self._manners():
            parts = self.checkpoints.parts(rank, world_size, deadline=deadline)
        parts.guard = self._manners
        return parts

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
        with self._manners(), self.checkpoints.batch(**options) as batch:
            yield batch

    @contextmanager
    def writer(
        self, name: str, *, step: int | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Iterator[Stream]:
        """See `ckptptr.Checkpoints.writer`."""
        with self._manners(), self.checkpoints.writer(name, step=step, metadata=metadata) as stream:
            yield stream

    def open(self, name: str | None = None) -> BufferedReader:
        """See `ckptptr.Checkpoints.open`."""
        with self._manners():
            return self.checkpoints.open(name)

    def look(self) -> Resolution:
        """See `ckptptr.Checkpoints.look`."""
        with self._manners():
            return self.checkpoints.look()

    def history(self) -> list[Checkpoint]:
        """See `ckptptr.Checkpoints.history`."""
        with self._manners():
            return self.checkpoints.history()

    def pin(self, checkpoint: str, *, note: str = "") -> None:
        """See `ckptptr.Checkpoints.pin`."""
        with self._manners():
            self.checkpoints.pin(checkpoint, note=note)

    def unpin(self, checkpoint: str) -> None:
        """See `ckptptr.Checkpoints.unpin`."""
        with self._manners():
            self.checkpoints.unpin(checkpoint)

    def wait(self) -> None:
        """See `ckptptr.Checkpoints.wait`."""
        with self._manners():
            self.checkpoints.wait()
