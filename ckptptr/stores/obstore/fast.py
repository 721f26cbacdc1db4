"""The fast lane: control objects by the filesystem's adapter, payload by obstore's.

What obstore fails at, the adapter does: it decides what the error means. Only an upload of many blocks
cannot be taken back from obstore, since its blocks are gone by then; so before the first one obstore has to
prove that it reaches the same store.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress

from ckptptr.errors import CkptptrError, DamagedError, NotFoundError
from ckptptr.events import Event, emit
from ckptptr.stores.capacity import capacity_of
from ckptptr.stores.obstore.lending import UnlendableError, explained, reason
from ckptptr.stores.obstore.store import ObstoreStore
from ckptptr.stores.port import Block, Capacity, Entry, HasStream, Store
from ckptptr.stores.sdk import one_or_many
from ckptptr.stores.wrappers.around import Around, unwrap

_FAILURES = 3
_MANY = 16  # blocks, where their number is not known
_log = logging.getLogger("ckptptr.stores")


class FastLane(Around):
    """`store`, whose payload `payload` moves; the lane closes when it cannot, or fails three times in a
    row."""

    def __init__(self, store: Store, payload: ObstoreStore) -> None:
        super().__init__(store)
        self._payload = payload
        self._reached: set[str] = set()
        self._opened: set[str] = set()
        self._failures = 0
        self._closed = ""

    @property
    def block_size(self) -> int:
        """Small blocks would only cost the adapter time."""
        return (self._store if self._closed else self._payload).block_size

    @property
    def capacity(self) -> Capacity:
        """obstore's requests; the room of what moves blocks."""
        slow, fast = capacity_of(self._store), self._payload.capacity
        if self._closed:
            return slow
        return fast if self._payload.lender.proves_blocks else Capacity(slow.room, fast.requests)

    def engine(self, key: str) -> str:
        """What moves payload there, for people: `obstore`, or the filesystem and why."""
        lender = self._payload.lender
        if not self._is_open(key):
            return f"{lender.name} ({self._closed})"
        return "obstore" if lender.proves_blocks else f"obstore, and {lender.name} what goes up in blocks"

    def why(self, key: str) -> str:
        return reason() if self._is_open(key) else self._closed

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        if not self._is_open(key):
            return self._store.upload(key, blocks)
        count = operator.length_hint(blocks, _MANY)
        only, all_of_them = one_or_many(blocks)
        if only is None:
            if self._payload.lender.proves_blocks and self._reaches(key):
                return self._payload.put_blocks(key, all_of_them, count)
            return self._store.upload(key, all_of_them)
        try:
            is_proven = self._payload.put(key, only)
        except CkptptrError as error:
            is_proven = self._store.upload(key, [only])
            self._failed(error)
        else:
            self._succeeded(key)
        return is_proven

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        if not length or not self._is_open(key):
            yield from self._store.download(key, start, length)
            return
        try:
            for block in self._payload.download(key, start, length):
                start += len(block)
                length -= len(block)
                yield block
        except CkptptrError as failure:
            error = failure
        else:
            self._succeeded(key)
            return
        yield from self._store.download(key, start, length)
        self._failed(error)

    def stream(self, folder: str) -> Iterator[Entry]:
        failure: CkptptrError | None = None
        if self._is_open(folder):
            has_begun = False
            try:
                for entry in self._payload.stream(folder):
                    has_begun = True
                    yield entry
            except CkptptrError as error:
                if has_begun:
                    raise
                failure = error
            else:
                return
        adapter = unwrap(self._store, HasStream)
        yield from (adapter.stream(folder) if adapter else self._store.list(folder))
        if failure:
            self._failed(failure)

    def _is_open(self, key: str) -> bool:
        bucket = key.partition("/")[0]
        if self._closed:
            return False
        try:
            self._payload.client(bucket)
        except UnlendableError as error:
            self._close(str(error))
            return False
        if bucket not in self._opened:
            self._opened.add(bucket)
            how = explained(self.block_size, self.capacity.room)
            _log.info("obstore moves payload to and from %s: %s", self.url(bucket), how)
        return True

    def _reaches(self, key: str) -> bool:
        """Whether obstore was seen to reach this bucket with these credentials, and to write parts there.

        Asked once.
        """
        bucket = key.partition("/")[0]
        try:
            if bucket not in self._reached:
                with suppress(NotFoundError, DamagedError):  # answers of the store, too
                    for _ in self._payload.download(key, 0, 1):
                        pass
                self._reached.add(bucket)
            self._payload.try_blocks(key)
        except CkptptrError as error:
            self._close(f"{type(error).__name__} when it was tried")
            return False
        return True

    def _succeeded(self, key: str) -> None:
        self._reached.add(key.partition("/")[0])
        self._failures = 0

    def _failed(self, error: CkptptrError) -> None:
        """The adapter did what obstore failed at. A few of these in a row, and the lane closes."""
        self._failures += 1
        name = self._payload.lender.name
        message = f"obstore failed ({type(error).__name__}), {name} did not"
        emit(Event("retry", message, error=error.code))
        if self._failures >= _FAILURES:
            self._close(f"obstore failed {_FAILURES} times in a row where it did not")

    def _close(self, reason: str) -> None:
        if not self._closed:
            self._closed = reason
            _log.info("%s moves payload: %s", self._payload.lender.name, reason)
