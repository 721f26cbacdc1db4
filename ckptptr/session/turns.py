"""Saves and restores of one process take turns, whichever thread calls.

A call waits for the background saves first, and raises what one of them failed with. While a writer is open,
its thread begins nothing else. Inside an `on_preemption` block each save and restore can be abandoned.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, TypeVar

from ckptptr.errors import InvalidArgumentError
from ckptptr.lifetime import daemon
from ckptptr.lifetime.forks import renew_in_child
from ckptptr.session.background_saves import Asynchronous
from ckptptr.session.content import Change
from ckptptr.session.preemption import Preemption
from ckptptr.session.session import Session
from ckptptr.session.snapshot import snapshot
from ckptptr.transfer.plan import UNKNOWN, Local, block_for
from ckptptr.transfer.writer import Stream

_T = TypeVar("_T")
_Saved = TypeVar("_Saved")


class Turns(Generic[_Saved]):
    """The turns of one session.

    Args:
        save: makes one checkpoint, confirmed when it returns.
    """

    def __init__(
        self, session: Session, save: Callable[[Change, int | None, dict[str, Any]], _Saved]
    ) -> None:
        self._session = session
        self._save_now = save
        self._background = Asynchronous(
            partial(self._save, in_background=True),
            lambda: session.background.until,
            node=session.store.url(session.node.prefix),
        )
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """In a fork: the parent's block hears no signal of this process, and its writers are the parent's."""
        self._writing: set[int] = set()
        self._preemption: Preemption | None = None

    def begin(self, *, waits: bool = True) -> None:
        """What every call does first.

        Args:
            waits: for the background saves; else only what one of them failed with is raised.

        Raises:
            InvalidArgumentError: a writer of this thread is open.
        """
        if threading.get_ident() in self._writing:
            raise InvalidArgumentError(
                "a writer of this thread is open, and its checkpoint comes first", hint="Leave its block"
            )
        if self._preemption is not None and self._preemption.is_in_force:
            self._preemption.look()
        if waits:
            self.finish()
        self._background.raise_failure()

    def finish(self) -> None:
        """Wait for the background saves; raise what one of them failed with."""
        self._background.wait()
        self._background.raise_failure()

    def save(self, change: Change, step: int | None, metadata: dict[str, Any]) -> _Saved:
        return self._save(change, step, metadata)

    def save_in_background(
        self, change: Change, step: int | None, metadata: dict[str, Any], *, consume: bool
    ) -> Future[_Saved]:
        if self._preemption is not None:
            self._preemption.end_the_loop()
        return self._background.submit(snapshot(change, consume=consume), step, metadata)

    def save_part(self, work: Callable[[], _Saved]) -> _Saved:
        return self._run(work, is_save=True)

    @contextmanager
    def save_while_written(self, name: str, step: int | None, metadata: dict[str, Any]) -> Iterator[Stream]:
        """A checkpoint with a file that the block writes; nothing is saved where the block raises."""
        stream = Stream(name, block_for(UNKNOWN, self._session.store.block_size))
        added = Change({name: Local(name, stream, UNKNOWN)})
        upload = daemon.start(lambda: self._save(added, step, metadata), beside=True)
        upload.add_done_callback(stream.upload_ended)
        self._writing.add(threading.get_ident())
        try:
            yield stream
            stream.finish()
        except BaseException:
            stream.abandon()
            futures.wait([upload])
            raise
        finally:
            self._writing.discard(threading.get_ident())
        upload.result()

    def restore(self, work: Callable[[], _T]) -> _T:
        return self._run(work, is_save=False)

    def under(self, preemption: Preemption) -> Preemption:
        """Run saves and restores under this block from now on.

        Raises:
            InvalidArgumentError: another block is in force.
        """
        if self._preemption is not None and self._preemption.is_in_force:
            raise InvalidArgumentError("on_preemption is in force already", key=self._session.latest.url)
        self._preemption = preemption
        return preemption

    def wait_for_background(self, until: float | None = None) -> BaseException | None:
        """Wait as `Asynchronous.wait`; what a save failed with, which no call raises from now on."""
        self._background.wait(until)
        return self._background.take_failure()

    def _save(
        self, change: Change, step: int | None, metadata: dict[str, Any], *, in_background: bool = False
    ) -> _Saved:
        return self._run(
            lambda: self._save_now(change, step, metadata), is_save=True, in_background=in_background
        )

    def _run(self, work: Callable[[], _T], *, is_save: bool, in_background: bool = False) -> _T:
        preemption = self._preemption
        if preemption is None or not preemption.is_in_force:
            return work()
        return preemption.run(work, is_save=is_save, in_background=in_background)
