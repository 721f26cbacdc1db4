"""The saves of a training loop that a framework runs on all ranks, and its end when SIGTERM comes to one."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ckptptr.checkpoints import Checkpoint
from ckptptr.errors import PreemptedError
from ckptptr.session.preemption import Preemption
from ckptptr.torch.folders import preempted, save_folder
from ckptptr.torch.ranks import any_rank, together


class Training:
    """What a callback does on each rank. Every method but `abandon` is collective.

    Args:
        checkpoints: what `ckptptr.open` returns, or the checkpoint of a task.
        block, deadline: as in `Parts.save` and `Checkpoints.parts`.
        grace: seconds from SIGTERM until the last save is abandoned; None: signals are left alone.

    Attributes:
        is_ending: SIGTERM has come to one of the ranks, and all know it.
    """

    def __init__(self, checkpoints: Any, *, block: bool, deadline: float, grace: float | None) -> None:
        self.checkpoints = checkpoints
        self.is_ending = False
        self._block = block
        self._deadline = deadline
        self._grace = grace
        self._preemption: Preemption | None = None
        self._last: tuple[int, Checkpoint | None] | None = None

    def begin(self, *, instead: Any = None) -> None:
        """Hear SIGTERM from now on. A training that begins again is the same one.

        Args:
            instead: a handler to put back first, in place of the framework's.
        """
        if self._grace is not None and self._preemption is None:
            if instead is not None and instead is not signal.getsignal(signal.SIGTERM):
                signal.signal(signal.SIGTERM, instead)
            self._preemption = self.checkpoints.on_preemption(interrupt=False, deadline=self._grace)
            self._preemption.__enter__()

    def must_end(self) -> bool:
        """Between two steps: whether all ranks save now, and end."""
        self.is_ending = self._grace is not None and any_rank(self._is_told())
        return self.is_ending

    def save(
        self, folder: Path, *, step: int, metadata: Mapping[str, Any], only: str = ""
    ) -> Checkpoint | None:
        """As `save_folder`; once for each step, which a framework may write several times.

        Raises:
            PreemptedError: it was the last save, and is confirmed or abandoned.
        """
        if self._last is not None and self._last[0] == step:
            return self._last[1]
        options: dict[str, Any] = {"metadata": metadata, "only": only, "deadline": self._deadline}
        try:
            block = self._block or self.is_ending
            saved = save_folder(self.checkpoints, folder, step=step, block=block, **options)
            self._last = step, saved
            if self.must_end():
                together(self.checkpoints.wait)
                preempted(self.checkpoints, "another rank is told to end; the last save is confirmed")
        except BaseException as error:
            self.abandon(error)
            raise
        return saved

    def end(self) -> None:
        """Wait for the saves in the background.

        Raises:
            PreemptedError: SIGTERM came to this rank meanwhile.
        """
        try:
            together(self.checkpoints.wait)
        except BaseException as error:
            self.abandon(error)
            raise
        self.abandon()

    def abandon(self, error: BaseException | None = None) -> None:
        """Leave SIGTERM to what heard it before.

        Args:
            error: why, if something failed.

        Raises:
            PreemptedError: it came to this rank; `error` is its cause.
        """
        ending, self._preemption = self._preemption, None
        if ending is not None:
            ending.__exit__(type(error) if error else None, error, None)

    def _is_told(self) -> bool:
        try:
            if self._preemption is not None:
                self._preemption.check()
        except PreemptedError:
            return True
        return False
