"""The drop-in: flytekit's `Checkpoint`, with `ckptptr.Checkpoints` behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeAlias, overload

from flytekit.core.checkpointer import Checkpoint as FlyteCheckpoint

from ckptptr.checkpoints import Checkpoint, Checkpoints
from ckptptr.dropin.delegate import Delegate
from ckptptr.flyte.errors import RecoverablePreemptedError, recoverable, recoverably
from ckptptr.session.content import Saveable
from ckptptr.session.preemption import DEADLINE, SIGNALS, Preemption
from ckptptr.transfer.folder import Links

_Step: TypeAlias = int | None
_Meta: TypeAlias = Mapping[str, Any] | None
_Ignore: TypeAlias = str | Iterable[str] | None


class PointerCheckpoint(Delegate, FlyteCheckpoint):  # type: ignore[misc]
    """What `flytekit.current_context().checkpoint` is in a task: `ckptptr.Checkpoints` in flytekit's manners.

    `restore`, `save`, `read`, `write` and `prev_exists` do what stock tasks expect. Every other method is
    that of `ckptptr.Checkpoints`. An error that another attempt may cure (the store does not answer, a newer
    attempt has taken over) is also flytekit's `FlyteRecoverableException`, so that Flyte retries.

    Args:
        checkpoint_dest: the home that Flyte gave. The elastic plugin reads `_checkpoint_dest` and hands it to
            its workers.
        checkpoint_src: the previous home that Flyte gave; likewise.
        opening: makes the checkpoints; called when a process first needs them.
        seed: where they begin, in place of `CKPTPTR_SEED`.
    """

    def __init__(
        self,
        checkpoint_dest: str,
        checkpoint_src: str | None,
        opening: Callable[[], Checkpoints],
        seed: str = "",
    ) -> None:
        super().__init__(opening)
        self.seed = seed
        self._checkpoint_dest = checkpoint_dest
        self._checkpoint_src = checkpoint_src

    def _manners(self) -> AbstractContextManager[None]:
        return recoverable()

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
