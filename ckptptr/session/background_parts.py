"""Parts in the background: uploads one after the other, waiting for other ranks side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from ckptptr.lifetime.daemon import done_now, start
from ckptptr.session.at_exit import AtExit
from ckptptr.session.content import Change
from ckptptr.session.snapshot import Snapshot

_AHEAD = 2

_Saved = TypeVar("_Saved")
_Uploaded = TypeVar("_Uploaded")


class InOrder(AtExit, Generic[_Saved]):
    """What one rank saves in the background."""

    def renew(self) -> None:
        self._uploads: list[Future[None]] = []
        self._pending: list[Future[_Saved]] = []
        self._lock = threading.Lock()

    def run(
        self,
        content: Snapshot,
        upload: Callable[[Change], _Uploaded],
        complete: Callable[[_Uploaded], _Saved],
        guard: Callable[[], AbstractContextManager[object]],
    ) -> Future[_Saved]:
        """Wait for a place, then return: at most `_AHEAD` contents wait for their upload."""
        begin = done_now if self._begins_at_exit() else start
        with self._lock:
            futures.wait(self._uploads[:-_AHEAD])
            before = self._uploads[-1] if self._uploads else None
            uploaded: Future[None] = Future()
            self._uploads = [*self._uploads[-_AHEAD:], uploaded]

            def work() -> _Saved:
                with guard():
                    try:
                        if before is not None:
                            futures.wait([before])
                        sent = upload(content.change)
                    except BaseException:
                        content.give_back()
                        raise
                    finally:
                        uploaded.set_result(None)
                    content.release()
                    return complete(sent)

            done = begin(work)
            self._pending = [*(each for each in self._pending if not _succeeded(each)), done]
        return done

    def wait(self, until: float | None = None) -> bool:
        left = None if until is None else max(0.0, until - time.monotonic())
        return not futures.wait(self._pending, timeout=left).not_done

    def raise_failure(self) -> None:
        """Raise the error of a failed save that no call has raised yet."""
        with self._lock:
            failed = [each for each in self._pending if each.done() and each.exception()]
            self._pending = [each for each in self._pending if not each.done()]
        for each in failed[:1]:
            each.result()


def _succeeded(future: Future[_Saved]) -> bool:
    return future.done() and future.exception() is None
