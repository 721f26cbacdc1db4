"""The fast lane: obstore (Rust) moves payload, the filesystem's adapter does everything else.

It is a store around a store. `upload` and `download` go by an obstore client that was lent the
filesystem's own credentials and endpoint (see `lending`); whatever else there is, and whatever the lane
does not manage, is the adapter's: it decides what an error means, so that there is one table of errors
for each cloud and never a second opinion. Only an upload of many blocks cannot be taken back from the
lane, since its blocks are gone by then; so before the first one the lane has to prove that it reaches the
same store.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import operator
import os
import threading
from collections.abc import Generator, Iterable, Iterator
from concurrent import futures
from typing import Any

from ckptptr.errors import CkptptrError, InvalidArgumentError
from ckptptr.lifetime import daemon
from ckptptr.stores.obstore.lending import Lender, UnlendableError, meaning
from ckptptr.stores.port import Block, Store
from ckptptr.stores.room import Room
from ckptptr.stores.wrappers.around import Around

BLOCK_SIZE = 8 * 1024 * 1024
CHUNK = 1024 * 1024
"""What is handed on at a time of what arrives; more would only be memory."""
CONTENT_TYPE = "application/octet-stream"

_SMALL = 1024 * 1024
_MANY = 16  # blocks, where nobody knows how many there will be
_FAILURES = 3
_threads_in = 0  # the process that obstore's threads are in: they do not come along in a fork
_log = logging.getLogger("ckptptr.stores")


class FastLane(Around):
    """`store`, whose payload obstore moves.

    Args:
        store: the adapter over the filesystem.
        lender: makes obstore's client for a bucket from that filesystem.
        block_size: also the part size, unless the blocks fed are larger.
    """

    block_size = BLOCK_SIZE

    def __init__(self, store: Store, lender: Lender, *, block_size: int = BLOCK_SIZE) -> None:
        import obstore

        global _threads_in  # noqa: PLW0603 - they are obstore's, and one set for the process
        _threads_in = _threads_in or os.getpid()
        self.block_size = block_size
        super().__init__(store)
        self._lender = lender
        self._obstore: Any = obstore
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._proven: set[str] = set()
        self._room = Room()
        self._failures = 0
        self._closed = ""

    def __getattr__(self, name: str) -> Any:
        """What is not in the port: the account, unfinished uploads."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._store, name)

    # The lane's

    def engine(self, key: str) -> str:
        """What moves payload there, for people: `obstore`, or the filesystem and why."""
        self._client(key.partition("/")[0])
        filesystem = self._lender.filesystem_name
        if self._closed:
            return f"{filesystem} ({self._closed})"
        return "obstore" if self._lender.takes_blocks else f"obstore, and {filesystem} what goes up in blocks"

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        bucket, _, path = key.partition("/")
        client = self._client(bucket)
        if client is None:
            return self._store.upload(key, blocks)
        count = operator.length_hint(blocks, _MANY)
        source = iter(blocks)
        first = next(source, b"")
        second = next(source, None)
        if second is not None:
            size = len(first)
            source = itertools.chain((first, second), source)
            del first, second  # or they would stay in memory to the end
            if not self._lender.takes_blocks or not self._reaches(client, key):
                return self._store.upload(key, source)
            self._upload_parts(client, key, source, max(size, self.block_size), count)
            return False
        try:
            answer = self._obstore.put(client, path, first, attributes=self._attributes, use_multipart=False)
        except Exception as error:  # noqa: BLE001 - whatever it is, the adapter knows better
            is_proven = self._store.upload(key, [first])
            self._failed(error)
            return is_proven
        self._succeeded(bucket)
        return _is_md5(answer["e_tag"], first)

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        bucket, _, path = key.partition("/")
        client = self._client(bucket) if length else None
        if client is None:
            yield from self._store.download(key, start, length)
            return
        end = start + length
        try:
            answer = self._obstore.get(client, path, options={"range": (start, end)})
            for chunk in answer.stream(min_chunk_size=CHUNK):
                block = memoryview(chunk)[: end - start]
                start += len(block)
                yield block
        except Exception as failure:  # noqa: BLE001 - whatever it is, the adapter knows better
            error: Exception = failure
        else:
            if start == end:
                self._succeeded(bucket)
                return
            error = ValueError(f"{end - start} of {length} bytes are missing")
        yield from self._store.download(key, start, end - start)
        self._failed(error)

    @property
    def _attributes(self) -> dict[str, str]:
        return {"Content-Type": CONTENT_TYPE, **self._lender.metadata}

    def _upload_parts(
        self, client: Any, key: str, blocks: Iterator[bytes], part_size: int, count: int
    ) -> None:
        broken: list[BaseException] = []
        unwanted = threading.Event()

        def watched() -> Iterator[bytes]:
            while not unwanted.is_set():
                try:
                    block = next(blocks, None)
                except BaseException as error:
                    broken.append(error)
                    raise
                if block is None:
                    return
                yield block
            raise InterruptedError

        def put(parts: int) -> None:
            self._obstore.put(
                client,
                key.partition("/")[2],
                watched(),
                attributes=self._attributes,
                chunk_size=part_size,
                max_concurrency=parts,
            )

        # In a thread of its own: this one stays free for signals, of which the main thread has to hear.
        with self._room.some_taken(part_size, count) as parts:
            upload = daemon.start(lambda: put(parts))
            try:
                upload.result()
            except Exception as error:
                if broken:
                    raise broken[0] from None
                raise self._meant(error, key) from error
            finally:
                unwanted.set()
                futures.wait([upload])

    def _reaches(self, client: Any, key: str) -> bool:
        """Whether the lane was seen to reach this bucket with these credentials; asked once."""
        bucket, _, path = key.partition("/")
        if bucket in self._proven:
            return True
        try:
            self._obstore.head(client, path)
        except FileNotFoundError:
            pass
        except Exception as error:  # noqa: BLE001
            self._close(f"{type(error).__name__} when it was tried")
            return False
        self._proven.add(bucket)
        return True

    def _meant(self, error: Exception, key: str) -> CkptptrError:
        if isinstance(error, CkptptrError):
            return error
        if isinstance(error, ValueError):
            return InvalidArgumentError("the store cannot have an object of this name", key=self.url(key))
        return self._lender.refusal(*meaning(error), self.url(key))

    def _client(self, bucket: str) -> Any:
        """obstore's client; None where the lane is closed, as it is in a forked child."""
        if self._closed or _threads_in != os.getpid():
            return None
        with self._lock:
            if bucket not in self._clients:
                try:
                    self._clients[bucket] = self._lender.client(bucket)
                except UnlendableError as error:
                    self._close(str(error))
                    return None
                except Exception as error:  # noqa: BLE001 - other versions have other attributes
                    self._close(f"{type(error).__name__} when obstore was set up")
                    return None
                _log.info("obstore moves payload to and from %s", self.url(bucket))
            return self._clients[bucket]

    def _succeeded(self, bucket: str) -> None:
        self._proven.add(bucket)
        self._failures = 0

    def _failed(self, error: Exception) -> None:
        """The adapter managed what the lane did not. A few of these in a row, and the lane is closed."""
        self._failures += 1
        _log.info("obstore failed (%s), %s did not", type(error).__name__, self._lender.filesystem_name)
        if self._failures >= _FAILURES:
            self._close(f"obstore failed {_FAILURES} times in a row where it did not")

    def _close(self, reason: str) -> None:
        if not self._closed:
            self._closed = reason
            _log.info("%s moves payload: %s", self._lender.filesystem_name, reason)


def _is_md5(etag: str | None, body: bytes) -> bool:
    """Whether the ETag proves that the body arrived, as far as that costs less than a listing."""
    if len(body) > _SMALL:
        return False
    return (etag or "").strip('"') == hashlib.md5(body, usedforsecurity=False).hexdigest()
