"""Who waits for an upload of obstore, which says only that a part has arrived, never how far it is.

While nothing happens, the store is asked for a sign of life now and then: one that is silent is given up. As
long as it answers, the upload has the time that the line needs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TypeVar

from ckptptr.stores.line import ANSWERS, Line

_T = TypeVar("_T")


class UploadWatch:
    """Waits for one upload.

    Args:
        sign: a request to the store; a refusal is an answer, too.
        size: of a part in bytes; `parts` of them are under way at once.
    """

    def __init__(self, line: Line, sign: Callable[[], object], size: int, parts: int = 1) -> None:
        self._line = line
        self._sign = sign
        self._size = size
        self._parts = parts
        self._given = 0
        self._waits = deque[float](maxlen=parts)

    def next_part(self, is_taken: Callable[[float], bool]) -> None:
        """Wait until obstore has taken the part before, which `is_taken` waits for some seconds.

        Raises:
            StoreUnavailableError: the store does not answer.
            OverdueError: it does, and no part has arrived.
        """
        self._waits.append(self._until(is_taken))
        if self._given > self._parts + 1:  # it takes one more than are under way: so one has arrived
            self._arrived(sum(self._waits))
        self._given += 1

    def last(self, upload: Future[_T]) -> _T:
        """Wait for the end. Raises what the upload raised, and as `next_part`."""
        seconds = self._until(lambda seconds: bool(wait([upload], timeout=seconds).done))
        result = upload.result()
        self._arrived(sum(self._waits) + seconds)
        return result

    def _arrived(self, seconds: float) -> None:
        under_way = min(self._parts, max(1, self._given)) * self._size
        self._line.took(seconds, max(under_way, self._line.under_way))

    def _until(self, happened: Callable[[float], bool]) -> float:
        """Wait, and for how long."""
        line = self._line
        begun = line.timer()
        while not happened(line.wait(begun)):
            with suppress(*ANSWERS):
                self._sign()
            line.check(begun)
        return line.timer() - begun
