"""The whole port over obstore (Rust): conditional writes, ranges, uploads in parts, copies, listings.

Where its clients come from, and what their errors mean, a lender says. Traps of obstore, and what is done
about them:

- It raises "already exists" for any 409 and 412, and "not found" for any 404. Here an object is there or
absent only in the store's own words (`PreconditionFailed`, `NoSuchKey`).
- It takes any XML, a login page too, for an empty listing. So an empty listing is proven by reading an
object that does not exist: the store has to refuse that in its own words.
- It takes a listing for complete where S3's answer names no next page; some servers never name one. So after
full pages it is asked for what comes behind them.
- It does not wait for the copies of Azure, and cannot copy more than 5 GiB on S3: such copies pass through
here.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from ckptptr.errors import (
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.lifetime import daemon
from ckptptr.stores.capacity import OF_OBSTORE
from ckptptr.stores.emptied import Emptied
from ckptptr.stores.in_flight import InFlight
from ckptptr.stores.line import Line, OverdueError
from ckptptr.stores.obstore import threads
from ckptptr.stores.obstore.delete_signed import delete_signed
from ckptptr.stores.obstore.feed import Feed
from ckptptr.stores.obstore.lending import Lender, UnlendableError, answer_in, unanswered, without_limit
from ckptptr.stores.obstore.watch import UploadWatch
from ckptptr.stores.port import GLANCE, Block, Entry, Guarantee, Token, UnsupportedError, folders_of
from ckptptr.stores.room import BLOCKS, Room
from ckptptr.stores.said import no_answer, overdue
from ckptptr.stores.sdk import last_names, one_or_many, seconds, shown

CHUNK = 512 * 1024
"""What arrives is handed on in pieces of this size; larger ones would only take memory, 64 times."""

_CONTENT = {"Content-Type": "application/octet-stream"}
_CONTROL = {**_CONTENT, "Cache-Control": "no-store"}
_SMALL = 1024 * 1024
_WATCHED = 256 * 1024
"""Bytes: a larger request is watched. Of smaller ones even 32 arrive in the time of an answer."""
_ABORT = 2.0
"""Seconds for an upload that was given up to end. Later it ends by itself, without effect."""
_MD5 = 32  # characters
_MANY = 16  # blocks, where their number is not known
_DELETES_IN_FLIGHT = 16
_MAX_PARTS = 10_000  # of one upload on S3 and Google; Azure takes more
_T = TypeVar("_T")


class ObstoreStore:
    """Keys are `bucket/path`. The token of an object is that of the cloud: its ETag, or its generation.

    Args:
        lender: makes obstore's clients, one for each bucket.
        block_size: also the part size, unless the blocks fed are larger. By default the lender's.
        line: what its uploads share; by default one of its own.
    """

    capacity = OF_OBSTORE

    def __init__(self, lender: Lender, *, block_size: int | None = None, line: Line | None = None) -> None:
        import obstore

        threads.begin()
        self.block_size = block_size or lender.block_size
        self.lender = lender
        self._obstore: Any = obstore
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._comparing: dict[str, Any] = {}
        self._written: set[str] = set()
        self._tried: set[str] = set()
        self._deletes_singly = False  # until the server turns out to want it
        self._patient: dict[int, tuple[Any, Any]] = {}
        self._room = Room(self.capacity.room, BLOCKS)
        self._line = line or Line(lender.answer)

    @property
    def guarantee(self) -> Guarantee:
        return self.lender.guarantee

    def engine(self, _: str) -> str:
        return "obstore"

    def why(self, _: str) -> str:
        return "the platform gave obstore's settings"

    def url(self, key: str) -> str:
        return f"{self.lender.scheme}://{key}"

    def client(self, bucket: str) -> Any:
        """obstore's client. Sends no request.

        Raises:
            UnlendableError: obstore cannot be used here; the text says why.
        """
        threads.check()
        return self._made(self._clients, bucket, lambda: self.lender.client(bucket))

    def _comparing_at(self, key: str) -> Any | None:
        """A client whose puts are proven, see `Lender.comparing`; asked for once for each bucket."""
        bucket = key.partition("/")[0]
        try:
            self.client(bucket)
            return self._made(self._comparing, bucket, lambda: self.lender.comparing(key))
        except UnlendableError as error:
            raise self._meant(error, "upload", key) from error

    def _comparing_parts(self, key: str) -> Any | None:
        return self._comparing_at(key) if self.lender.compares_parts else None

    def _made(self, clients: dict[str, Any], bucket: str, make: Callable[[], Any]) -> Any:
        if bucket in clients:
            return clients[bucket]
        with self._lock:
            if bucket not in clients:
                try:
                    clients[bucket] = make()
                except UnlendableError:
                    raise
                except Exception as error:
                    # Other versions of the filesystem have other attributes.
                    raise UnlendableError(f"{type(error).__name__} when obstore was set up") from error
            return clients[bucket]

    # The port

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        def beginning(client: Any, path: str) -> tuple[bytes, Any]:
            answer = self._obstore.get(client, path)
            if limit is None or answer.meta["size"] <= limit:
                return bytes(answer.bytes()), answer.meta
            found = bytearray()
            for piece in answer.stream(min_chunk_size=min(limit, CHUNK)):
                found += bytes(piece)
                if len(found) >= limit:
                    break
            return bytes(found[:limit]), answer.meta

        body, meta = self._ask("read", key, beginning)
        return body, self._token(meta, key)

    def create(self, key: str, body: bytes) -> Token:
        return self._swap("create", key, body, "create")

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        try:
            return self._swap("replace", key, body, {self.lender.version: token})
        except NotFoundError as error:
            raise ConflictError("the object is gone", key=self.url(key)) from error

    def list(self, folder: str) -> Iterator[Entry]:
        bucket, _, prefix = folder.partition("/")

        def every(client: Any, _: str) -> Sequence[Entry]:
            return [*self._entries(client, bucket, prefix)]

        found = self._ask("list", folder, every)
        if not found:
            self._prove_empty(folder)
        return iter(sorted(found, key=lambda entry: entry.key))

    def stream(self, folder: str) -> Iterator[Entry]:
        bucket, _, prefix = folder.partition("/")
        try:
            yield from self._entries(self.client(bucket), bucket, prefix)
        except CkptptrError:
            raise
        except Exception as error:  # noqa: BLE001 - the table says what it means
            raise self._meant(error, "list", folder) from shown(error)

    def folders(self, folder: str) -> Sequence[str]:
        prefix = folder.partition("/")[2]
        level = self._ask(
            "list", folder, lambda client, _: self._obstore.list_with_delimiter(client, prefix or None)
        )
        count = len(level["common_prefixes"]) + len(level["objects"])
        if not count:
            self._prove_empty(folder)
        if self._may_go_on(count):
            return folders_of(self.list(folder), folder)
        return last_names(level["common_prefixes"])

    def delete(self, keys: Iterable[str]) -> None:
        together = 1 if self._deletes_singly else self.lender.deletes_together
        deletions: InFlight[None] = InFlight(Room(_DELETES_IN_FLIGHT))
        emptied = Emptied()
        keys = emptied.noting(keys) if self.lender.has_folders else keys
        for _, group in itertools.groupby(keys, key=lambda key: key.partition("/")[0]):
            while batch := [*itertools.islice(group, together)]:
                deletions.start(partial(daemon.start, partial(self._delete, batch)), 1)
        deletions.finish()
        for folder in itertools.islice(emptied.folders, 1):
            config = self.client(folder.partition("/")[0]).config
            account = f"{config.get('endpoint')}/{config.get('account_name')}"
            emptied.remove(account, lambda name: daemon.start(partial(self._remove_folder, name)))

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        count = operator.length_hint(blocks, _MANY)
        only, all_of_them = one_or_many(blocks)
        if only is not None:
            return self.put(key, only)
        self.try_blocks(key)
        return self.put_blocks(key, all_of_them, count)

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        if not length:
            return
        end = start + length
        try:
            client, path = self._at(key)
            with threads.without_panic():
                answer = self._obstore.get(client, path, options={"range": (start, end)})
                for chunk in answer.stream(min_chunk_size=CHUNK):
                    block = memoryview(chunk)[: end - start]
                    start += len(block)
                    yield block
        except Exception as error:  # noqa: BLE001 - the table says what it means
            raise self._meant(error, "download", key) from shown(error)
        if start < end:
            raise DamagedError(f"{end - start} of {length} bytes are missing at the end", key=self.url(key))

    def copy(self, source: str, key: str) -> None:
        size, most = self._size(source), self.lender.copies
        if most and (size is None or size <= most):
            path = key.partition("/")[2]
            self._ask("copy", source, lambda client, origin: self._obstore.copy(client, origin, path))
        else:
            self.upload(key, self._blocks_of(source, 1 if size is None else size))

    # Payload in one request, and in many

    def put(self, key: str, body: bytes) -> bool:
        """Write one block, in one request; returns what `upload` returns."""
        options = {"attributes": self._attributes, "use_multipart": False}

        def put(client: Any, path: str) -> Any:
            if len(body) <= _WATCHED:
                return self._obstore.put(client, path, body, **options)
            client = self._without_limit(client)
            with self._on_time(key):
                sent = daemon.start(lambda: self._obstore.put(client, path, body, **options))
                return self._watch(key, len(body)).last(sent)

        comparing = self._comparing_at(key)
        is_trial = comparing is not None and len(body) <= _SMALL and self._is_trial(key)
        with self._line.taken(len(body)):
            if comparing and not is_trial:
                self._ask("upload", key, put, comparing)
                return True
            etag = (self._write("upload", key, put)["e_tag"] or "").strip('"')
            # The ETag may be an MD5; of large blocks that would cost more than the listing that it saves.
            if len(body) <= _SMALL and len(etag) == _MD5:
                is_proven = etag == hashlib.md5(body, usedforsecurity=False).hexdigest()
                if is_proven or not is_trial:
                    return is_proven
            if is_trial:  # again, with its checksum: a listing has all files of the checkpoint
                self._ask("upload", key, put, comparing)
        return is_trial

    def try_blocks(self, key: str) -> None:
        """Begin an upload in parts, and abandon it when the store has taken one. Asked once of each bucket.

        Raises what the store refuses it with.
        """
        if self._knows_parts(key) or self.lender.checked(key.partition("/")[0]) is None:
            return

        def blocks() -> Iterator[bytes]:
            yield b"12"
            yield b"3"  # no whole part; obstore asks for the next block when the first part has arrived
            raise InterruptedError

        def put(client: Any, path: str) -> None:
            with suppress(InterruptedError):
                self._obstore.put(client, path, blocks(), chunk_size=2, max_concurrency=0)

        self._write("upload", key, put)

    def _is_trial(self, key: str) -> bool:
        """Whether this one goes as parts will. One does, so that it is known how the bucket takes them."""
        bucket, knows = key.partition("/")[0], self._knows_parts(key)
        with self._lock:
            is_first = bucket not in self._tried
            self._tried.add(bucket)
        return is_first and not knows

    def _knows_parts(self, key: str) -> bool:
        """Whether the bucket took something that was sent as the parts of an upload are."""
        return key.partition("/")[0] in self._written or self._comparing_parts(key) is not None

    def put_blocks(self, key: str, blocks: Iterator[bytes], count: int) -> bool:
        """Write `count` blocks or so, in parts; returns what `upload` returns."""
        first = next(blocks, b"")
        size = max(len(first), self.block_size)
        blocks = itertools.chain((first,), blocks)
        comparing = self._comparing_parts(key)
        del first  # or it would stay in memory to the end
        feed, here = Feed(), threading.get_ident()

        def send(parts: int) -> None:
            # While the process ends there may be no other thread.
            source = blocks if threading.get_ident() == here else feed
            options = {"attributes": self._attributes, "chunk_size": size, "max_concurrency": parts}

            def put(client: Any, path: str) -> None:
                self._obstore.put(self._without_limit(client), path, source, **options)

            self._ask("upload", key, put, comparing)

        with self._room.some_taken(size, count) as parts, self._line.taken(size, parts) as at_once:
            put = daemon.start(partial(send, at_once))
            put.add_done_callback(lambda _: feed.close())
            watch = self._watch(key, size, at_once)
            try:
                with self._on_time(key):
                    for block in blocks:
                        watch.next_part(feed.is_free)
                        if feed.is_closed:
                            break
                        feed.give(block)
                        del block  # or it would stay in memory until the next one is made
                    watch.next_part(feed.is_free)
                    feed.close(is_complete=True)
                    watch.last(put)
            finally:
                feed.close()
                wait([put], timeout=_ABORT)
        return comparing is not None

    def _without_limit(self, client: Any) -> Any:
        """The same client for requests that the line ends."""
        if id(client) not in self._patient:
            self._patient[id(client)] = client, without_limit(client)
        return self._patient[id(client)][1]

    def _watch(self, key: str, size: int, parts: int = 1) -> UploadWatch:
        def sign() -> None:
            for _ in self.download(key, 0, 1):
                pass

        return UploadWatch(self._line, sign, size, parts)

    @contextmanager
    def _on_time(self, key: str) -> Iterator[None]:
        try:
            yield
        except OverdueError as error:
            raise overdue("upload", "", error, self.url(key)) from error

    @property
    def _attributes(self) -> dict[str, str]:
        return {**_CONTENT, **self.lender.metadata}

    def _swap(self, operation: str, key: str, body: bytes, mode: str | dict[str, str]) -> Token:
        options = {"mode": mode, "attributes": _CONTROL, "use_multipart": False}
        answer = self._write(
            operation, key, lambda client, path: self._obstore.put(client, path, body, **options)
        )
        return self._token(answer, key)

    def _entries(self, client: Any, bucket: str, prefix: str) -> Iterator[Entry]:
        behind: dict[str, str] = {}
        while True:
            count, last = 0, ""
            for page in self._obstore.list(client, prefix or None, **behind):
                count += len(page)
                for each in page:
                    last = max(last, each["path"])
                    yield Entry(f"{bucket}/{each['path']}", each["size"], seconds(each["last_modified"]))
            if not self._may_go_on(count):
                return
            if last <= behind.get("offset", ""):
                raise StoreUnavailableError("the listing does not go on", key=self.url(f"{bucket}/{prefix}"))
            behind = {"offset": last}

    def _may_go_on(self, count: int) -> bool:
        """Whether this number of names may be full pages of a server that does not say that there is more."""
        return count > 0 and self.lender.page > 0 and count % self.lender.page == 0

    def _token(self, meta: Any, key: str) -> Token:
        found = meta[self.lender.version]
        if not found:  # something that is no store, or a look-alike while the object is being overwritten
            raise StoreUnavailableError("the store answered without the object's version", key=self.url(key))
        return Token(found)

    def _prove_empty(self, folder: str) -> None:
        try:
            self.read(f"{folder}/.ckptptr-nothing")
        except NotFoundError:
            return
        raise StoreUnavailableError("the answer is no listing", key=self.url(folder))

    def _delete(self, keys: Sequence[str]) -> None:
        if self.lender.deletes_together == 1:
            self._delete_one(keys[0])
            return
        if not self._deletes_singly:
            paths = [key.partition("/")[2] for key in keys]
            try:
                self._ask("delete", keys[0], lambda client, _: self._obstore.delete(client, paths))
                return
            except (UnsupportedError, NotFoundError):  # some take the bucket for an object
                pass
        for key in keys:
            with suppress(NotFoundError):
                self._ask("delete", key, partial(delete_signed, self._obstore.sign))
        self._deletes_singly = True

    def _delete_one(self, key: str) -> None:
        def gone(client: Any, path: str) -> bool:
            try:
                self._obstore.delete(client, path)
            except FileNotFoundError as error:
                if answer_in(error).code:
                    raise
                return False
            return True

        with suppress(NotFoundError):
            # obstore keeps no code of what Azure answers here, so the object itself is asked for.
            if not self._ask("delete", key, gone):
                self.read(key, GLANCE)
                raise StoreUnavailableError("the store failed to delete the object", key=self.url(key))

    def _remove_folder(self, folder: str) -> None:
        """Only if it is empty. Its name is no object's, so a 404 without words is good enough."""

        def remove(client: Any, path: str) -> None:
            try:
                self._obstore.delete(client, path)
            except FileNotFoundError:
                raise NotFoundError("there is no such folder", key=self.url(folder)) from None
            except Exception as error:
                if answer_in(error).status == 409:
                    raise ConflictError("the folder is not empty", key=self.url(folder)) from None
                raise

        self._ask("delete", folder, remove)

    def _size(self, key: str) -> int | None:
        """None where a HEAD says 404, which has no words: the copy's own answer has."""

        def head(client: Any, path: str) -> Any:
            try:
                return self._obstore.head(client, path)
            except FileNotFoundError:
                return None

        meta = self._ask("copy", key, head)
        if meta is None:
            return None
        self._token(meta, key)  # a store says which version it speaks of
        size: int = meta["size"]
        return size

    def _blocks_of(self, key: str, size: int) -> Iterator[bytes]:
        block = max(self.block_size, -(-size // _MAX_PARTS))
        for start in range(0, size, block):
            yield b"".join(self.download(key, start, min(block, size - start)))

    def _write(self, operation: str, key: str, request: Callable[[Any, str], _T]) -> _T:
        """As `_ask`. A bucket that refuses the first one gets it, and all that follow, with a checksum."""
        bucket = key.partition("/")[0]
        try:
            answer = self._ask(operation, key, request)
        except UnsupportedError:
            checked = None if bucket in self._written else self.lender.checked(bucket)
            if checked is None:
                raise
            answer = self._ask(operation, key, request, checked)
            self._clients[bucket] = checked
        self._written.add(bucket)
        return answer

    def _ask(
        self, operation: str, key: str, request: Callable[[Any, str], _T], other: Any | None = None
    ) -> _T:
        """`request` with the bucket's client, or another, and the path in it. Raises our errors only."""
        try:
            with threads.without_panic():
                client, path = self._at(key)
                return request(other or client, path)
        except CkptptrError:
            raise
        except Exception as error:  # noqa: BLE001 - the table says what it means
            raise self._meant(error, operation, key) from shown(error)

    def _at(self, key: str) -> tuple[Any, str]:
        bucket, _, path = key.partition("/")
        return self.client(bucket), path

    def _meant(self, error: Exception, operation: str, key: str) -> CkptptrError:
        """What was raised, as our error."""
        if isinstance(error, UnlendableError):
            return StoreUnavailableError(f"obstore cannot be used: {error}", key=self.url(key))
        if isinstance(error, ValueError):
            return InvalidArgumentError("the store cannot have an object of this name", key=self.url(key))
        answer = answer_in(error)
        if asked := unanswered(error):
            return no_answer(operation, *asked, self.url(key))
        return self.lender.refusal(answer.code, answer.status, operation, self.url(key), answer.said)
