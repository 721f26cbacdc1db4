"""Google Cloud Storage, through a gcsfs filesystem that is handed in: the plain way.

Credentials, endpoint and connections are those that the filesystem resolved; inside Flyte flytekit itself
uses them. Every method of the port is one request, except payload larger than one block, listings of more
than a thousand objects, copies that Google makes in steps, and deletions (one for each object, several at a
time). A 404 about media costs one more: Google gives no reason there, so a listing has to prove absence.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ckptptr.clock import Patience, SystemClock
from ckptptr.errors import DamagedError, InvalidArgumentError, NotFoundError, StoreUnavailableError
from ckptptr.stores.capacity import OF_SDKS
from ckptptr.stores.gcs.client import (
    ANSWER,
    PATIENCE,
    GCSClient,
    HttpAnswer,
    HttpRequest,
    Pieces,
    bucket_path,
    crc32c,
    object_name,
    object_path,
)
from ckptptr.stores.gcs.upload import CHUNK, upload_blocks
from ckptptr.stores.gcs.words import GOOGLE
from ckptptr.stores.line import Line
from ckptptr.stores.port import Block, Entry, Guarantee, Token
from ckptptr.stores.room import Room
from ckptptr.stores.sdk import check_length, guarantee_at, last_names, one_or_many, seconds

BLOCK_SIZE = 16 * 1024 * 1024
DELETES_IN_FLIGHT = 32

_BINARY = "application/octet-stream"
_UNCACHED = {"cacheControl": "no-store"}  # publicly readable objects are cached for an hour otherwise
_CLOCK = SystemClock()


class GCSStore:
    """Keys are `bucket/path`. The token of an object is its generation, which no two writes share.

    Google takes one write a second to one name and answers 429 to more. The adapter waits, as for other
    passing failures, within the bounds of `patience`; then it raises `StoreUnavailableError`.

    Args:
        filesystem: a `gcsfs.GCSFileSystem` of any kind, not an asynchronous one.
        metadata: user metadata for payload (`upload`, `copy`); LATEST and manifests carry none.
        block_size: a multiple of 256 KiB. Larger payload is sent in blocks of this size.
        patience: how long one call goes on when it fails.
        answer: seconds that one answer may take.
        page: objects in one answer of a listing.
        copy_steps: after that many steps a copy is given up.
        line: what its uploads share; by default one of its own.
    """

    capacity = OF_SDKS

    def __init__(
        self,
        filesystem: Any,
        metadata: Mapping[str, str] | None = None,
        *,
        block_size: int = BLOCK_SIZE,
        patience: Patience = PATIENCE,
        answer: float = ANSWER,
        page: int = 1000,
        copy_steps: int = 10_000,
        line: Line | None = None,
    ) -> None:
        if block_size <= 0 or block_size % CHUNK:
            raise InvalidArgumentError(f"the block size is {block_size}, which is no multiple of 256 KiB")
        self.block_size = block_size
        self._metadata = dict(metadata or {})
        self._client = GCSClient(filesystem, patience, answer, line)
        self._page = page
        self._copy_steps = copy_steps
        self._room = Room()

    @property
    def guarantee(self) -> Guarantee:
        """Known of Google's own endpoints; of any other, nothing is known before it was asked."""
        return guarantee_at(self._client.endpoint, GOOGLE)

    def url(self, key: str) -> str:
        return f"gs://{key}"

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        answer = self._client.call(
            HttpRequest("read", key, "GET", _media(key), {"alt": "media"}, whole=True, at_most=limit)
        )
        return answer.body, Token(answer.header("X-Goog-Generation"))

    def create(self, key: str, body: bytes) -> Token:
        return self._swap("create", key, body, "0")

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        return self._swap("replace", key, body, token)

    def list(self, folder: str) -> Iterator[Entry]:
        bucket = folder.partition("/")[0]
        for page in self._pages(folder, fields="kind,items(name,size,updated),nextPageToken"):
            for found in page.get("items", ()):
                yield Entry(f"{bucket}/{found['name']}", int(found["size"]), seconds(found.get("updated")))

    stream = list

    def folders(self, folder: str) -> Sequence[str]:
        pages = self._pages(folder, fields="kind,prefixes,nextPageToken", delimiter="/")
        return last_names(prefix for page in pages for prefix in page.get("prefixes", ()))

    def _pages(self, folder: str, **query: str) -> Iterator[Mapping[str, Any]]:
        path = folder.partition("/")[2]
        query["maxResults"] = str(self._page)
        if path:
            query["prefix"] = f"{path}/"
        while True:
            page = self._client.call(
                HttpRequest("list", folder, "GET", f"/storage/v1/{bucket_path(folder)}/o", query)
            ).json()
            if page.get("kind") != "storage#objects":  # an empty listing is a proof, so it has to be one
                raise StoreUnavailableError("the answer is no listing", key=self.url(folder))
            yield page
            if "nextPageToken" not in page:
                return
            query["pageToken"] = page["nextPageToken"]

    def delete(self, keys: Iterable[str]) -> None:
        source = iter(keys)
        while batch := [*itertools.islice(source, DELETES_IN_FLIGHT)]:
            outcomes = self._client.run(batch[0], functools.partial(self._delete_all, batch))
            for error in outcomes:
                if error is not None:
                    raise error

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        block, source = one_or_many(blocks)
        if block is None:
            size, checksum, answer = upload_blocks(self._client, key, source, self._payload(key), self._room)
        else:
            size, checksum = len(block), crc32c(block)
            with self._client.line.taken(size):
                answer = self._insert("upload", key, self._payload(key, crc32c=checksum), block)
        return self._check(key, answer, size, checksum)

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        if length == 0:
            return
        span = {"Range": f"bytes={start}-{start + length - 1}", "Accept-Encoding": "identity"}
        with self._room.taken(length):
            answer = self._client.call(
                HttpRequest("download", key, "GET", _media(key), {"alt": "media"}, span)
            )
            answer.header("X-Goog-Generation")  # a page of a gateway has none, and proves nothing
            if answer.status != 206:
                raise DamagedError(
                    "the store does not give ranges of this object",
                    key=self.url(key),
                    hint="It may be stored with Content-Encoding: gzip. Upload it without.",
                )
            check_length(answer.body, start, length, self.url(key))
            yield answer.body

    def copy(self, source: str, key: str) -> None:
        where = f"/storage/v1/{object_path(source)}/rewriteTo/{object_path(key)}"
        headers = {"Content-Type": "application/json"}
        # Without a body the copy gets all that the source has, with one only what the body says.
        body = Pieces(json.dumps(self._payload(key)).encode()) if self._metadata else None
        query: dict[str, str] = {}
        for _ in range(self._copy_steps):
            try:
                request = HttpRequest("copy", source, "POST", where, query, headers, body, slow=True)
                step = self._client.call(request)
            except NotFoundError:
                self._client.prove(key)  # or it is the target's bucket that does not exist
                raise
            if step.json().get("done"):
                return
            query["rewriteToken"] = step.field("rewriteToken")
        raise StoreUnavailableError(f"not copied in {self._copy_steps} steps", key=self.url(key))

    def _swap(self, operation: str, key: str, body: bytes, generation: str) -> Token:
        resource = {"name": object_name(key), "contentType": _BINARY, "crc32c": crc32c(body), **_UNCACHED}
        answer = self._insert(operation, key, resource, body, ifGenerationMatch=generation)
        return Token(answer.field("generation"))

    def _payload(self, key: str, **more: str) -> dict[str, Any]:
        metadata = {"metadata": self._metadata} if self._metadata else {}
        return {"name": object_name(key), "contentType": _BINARY, **metadata, **more}

    def _insert(
        self, operation: str, key: str, resource: Mapping[str, Any], body: bytes, **condition: str
    ) -> HttpAnswer:
        """Metadata and body in one request. The store compares the body with the checksum in `resource`."""
        boundary = _CLOCK.token(40)  # must not occur in the body
        head = (
            f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(resource)}\r\n"
            f"--{boundary}\r\nContent-Type: {_BINARY}\r\n\r\n"
        )
        return self._client.call(
            HttpRequest(
                operation,
                key,
                "POST",
                f"/upload/storage/v1/{bucket_path(key)}/o",
                {"uploadType": "multipart", **condition},
                {"Content-Type": f"multipart/related; boundary={boundary}"},
                Pieces(head.encode(), body, f"\r\n--{boundary}--\r\n".encode()),
            )
        )

    def _check(self, key: str, answer: HttpAnswer, size: int, checksum: str) -> bool:
        """Compare what the store says that it has with what was sent, and delete what differs.

        Google itself compares before it accepts; emulators and proxies may not.
        """
        stored = answer.json()
        if str(size) == stored.get("size") and stored.get("crc32c", checksum) == checksum:
            return True
        condition = {"ifGenerationMatch": answer.field("generation")}
        self._client.call(HttpRequest("delete", key, "DELETE", f"/storage/v1/{object_path(key)}", condition))
        raise StoreUnavailableError("the store received other bytes than were sent", key=self.url(key))

    async def _delete_all(self, keys: Sequence[str]) -> Sequence[BaseException | None]:
        return await asyncio.gather(*map(self._delete, keys), return_exceptions=True)

    async def _delete(self, key: str) -> None:
        with contextlib.suppress(NotFoundError):
            await self._client.send(HttpRequest("delete", key, "DELETE", f"/storage/v1/{object_path(key)}"))


def _media(key: str) -> str:
    return f"/download/storage/v1/{object_path(key)}"
