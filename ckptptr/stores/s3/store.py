"""Amazon S3 and what speaks its language, through an s3fs filesystem that is handed in: the plain way.

Credentials, endpoint and region are those that the filesystem resolved; inside Flyte flytekit itself uses
them. Every method of the port is one request, except a `copy` (two), payload larger than one block,
listings and deletions of more than a thousand objects, and deletions on a server that takes them one by one
only.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from ckptptr.errors import ConflictError, NotFoundError, StoreUnavailableError
from ckptptr.stores.capacity import OF_SDKS
from ckptptr.stores.in_flight import each
from ckptptr.stores.line import Line
from ckptptr.stores.port import Block, Entry, Guarantee, Token, Unfinished, UnsupportedError
from ckptptr.stores.room import Room
from ckptptr.stores.s3.client import S3Client, part_of
from ckptptr.stores.s3.upload import MAX_PARTS, Multipart, crc32, proven
from ckptptr.stores.s3.words import AMAZON, refusal
from ckptptr.stores.sdk import check_length, guarantee_at, last_names, one_or_many, seconds

BLOCK_SIZE = 16 * 1024 * 1024
COPY_PART_SIZE = 256 * 1024 * 1024
_DELETES_IN_FLIGHT = 16

_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
_OF_A_LISTING = {"CommonPrefixes", "Contents", "IsTruncated", "KeyCount", "MaxKeys", "Name", "Prefix"}


class S3Store:
    """Keys are `bucket/path`. The token of an object is its ETag, quotes included.

    Args:
        filesystem: an `s3fs.S3FileSystem`, not an asynchronous one.
        metadata: user metadata for payload (`upload`, `copy`); LATEST and manifests carry none.
        block_size: also the part size, of which S3 takes 10,000: 16 MiB allow objects of 156 GiB.
            At least 5 MiB.
        copy_part_size: larger objects are copied in parts of this size, several at a time. One
            request can copy 5 GiB, but then the answer takes longer than s3fs waits for one.
        max_parts: of one upload.
        page: objects in one answer of a listing, and in one deletion.
        line: what its uploads share; by default one of its own.
    """

    capacity = OF_SDKS

    def __init__(
        self,
        filesystem: Any,
        metadata: Mapping[str, str] | None = None,
        *,
        block_size: int = BLOCK_SIZE,
        copy_part_size: int = COPY_PART_SIZE,
        max_parts: int = MAX_PARTS,
        page: int = 1000,
        line: Line | None = None,
    ) -> None:
        self.block_size = block_size
        self._copy_part_size = copy_part_size
        self._max_parts = max_parts
        self._page = page
        self._metadata = dict(metadata or {})
        self._client = S3Client(filesystem, line)
        self._room = Room()
        self._deletes_singly = False  # until the server turns out to want it

    @cached_property
    def guarantee(self) -> Guarantee:
        """Known of Amazon's own endpoints; of any other, nothing is known before it was asked."""
        return guarantee_at(self._client.endpoint(), AMAZON)

    def url(self, key: str) -> str:
        return f"s3://{key}"

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        answer = self._client.call("get_object", key, at_most=limit)
        return answer["Body"], self._token(answer, key)

    def create(self, key: str, body: bytes) -> Token:
        return self._token(self._put(key, body, IfNoneMatch="*"), key)

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        try:
            return self._token(self._put(key, body, IfMatch=token), key)
        except NotFoundError as error:
            raise ConflictError("the object is gone", key=self.url(key)) from error

    def list(self, folder: str) -> Iterator[Entry]:
        # Sorted here: SeaweedFS and the directory buckets of S3 Express list in an order of their own.
        return iter(sorted(self.stream(folder), key=lambda entry: entry.key))

    def delete(self, keys: Iterable[str]) -> None:
        for bucket, group in itertools.groupby(keys, key=lambda key: key.partition("/")[0]):
            paths = (key.partition("/")[2] for key in group)
            while batch := [*itertools.islice(paths, self._page)]:
                self._delete_batch(bucket, batch)

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        only, all_of_them = one_or_many(blocks)
        if only is not None:
            with self._client.line.taken(len(only)):
                answer = self._put(key, only, Metadata=self._metadata)
            return proven(answer, only, crc32(only), key)
        with self._multipart(key, self._client.line) as parts:
            for block in all_of_them:
                parts.put(block)
        return parts.proven

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        if length == 0:
            return
        with self._room.taken(length):
            answer = self._client.call("get_object", key, Range=f"bytes={start}-{start + length - 1}")
            self._token(answer, key)  # a page of a gateway has none, and proves nothing
            body: bytes = answer["Body"]
            check_length(body, start, length, self.url(key))
            yield body

    def copy(self, source: str, key: str) -> None:
        bucket, _, path = source.partition("/")
        origin = {"Bucket": bucket, "Key": path}
        try:
            head = self._client.call("head_object", source)
        except NotFoundError:
            # A HEAD has no body to say whether the object or the bucket is missing; the copy's answer has.
            head = {"ContentLength": 0}
        size = head["ContentLength"]
        if size <= self._copy_part_size:
            replaced = {"MetadataDirective": "REPLACE", "Metadata": self._metadata} if self._metadata else {}
            answer = self._client.call("copy_object", key, CopySource=origin, **replaced)
            self._token(part_of(answer, "CopyObjectResult", key), key)
            return
        with self._multipart(key) as parts:
            for start in range(0, size, self._copy_part_size):
                parts.copy(origin, head["ETag"], start, min(self._copy_part_size, size - start))

    def unfinished(self, folder: str) -> Iterator[Unfinished]:
        """The multipart uploads below a folder that were begun and neither completed nor aborted."""
        bucket, _, path = folder.partition("/")
        position: dict[str, str] = {}
        while True:
            page = self._client.call("list_multipart_uploads", folder, Prefix=f"{path}/", **position)
            for found in page.get("Uploads", ()):
                yield Unfinished(f"{bucket}/{found['Key']}", found["UploadId"], found["Initiated"])
            if not page.get("IsTruncated", "NextUploadIdMarker" in page):
                return
            position = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def _token(self, answer: Mapping[str, Any], key: str) -> Token:
        # A JuiceFS gateway has none while the object is overwritten.
        return Token(part_of(answer, "ETag", key))

    def _put(self, key: str, body: bytes, **parameters: Any) -> dict[str, Any]:
        checksum = {"ChecksumAlgorithm": "CRC32", "ChecksumCRC32": crc32(body)}
        return self._client.put(key, body, **checksum, **parameters)

    def _multipart(self, key: str, line: Line | None = None) -> Multipart:
        return Multipart(self._client, key, self._metadata, self._room, self._max_parts, line=line)

    def stream(self, folder: str) -> Iterator[Entry]:
        bucket = folder.partition("/")[0]
        for page in self._pages(folder):
            for found in page.get("Contents", ()):
                is_archived = found.get("StorageClass") in _ARCHIVES
                modified = seconds(found.get("LastModified"))
                yield Entry(f"{bucket}/{found['Key']}", found["Size"], modified, is_archived)

    def folders(self, folder: str) -> Sequence[str]:
        pages = self._pages(folder, Delimiter="/")
        return last_names(found["Prefix"] for page in pages for found in page.get("CommonPrefixes", ()))

    def _pages(self, folder: str, **parameters: str) -> Iterator[dict[str, Any]]:
        path = folder.partition("/")[2]
        asked: dict[str, Any] = {"Prefix": f"{path}/"} if path else {}
        asked.update(parameters, MaxKeys=self._page)
        while True:
            page = self._client.call("list_objects_v2", folder, **asked)
            if not page.keys() & _OF_A_LISTING:  # an empty one is a proof of absence
                raise StoreUnavailableError("the answer is no listing", key=self.url(folder))
            yield page
            names = [found["Key"] for found in page.get("Contents", ())]
            names += [found["Prefix"] for found in page.get("CommonPrefixes", ())]
            token = page.get("NextContinuationToken")
            # Some servers do not say whether there is more: then a full page is not the last one.
            if not page.get("IsTruncated", token is not None or len(names) >= self._page):
                return
            if token is not None:
                asked["ContinuationToken"] = token
            elif (last := max(names, default="")) > asked.get("StartAfter", ""):
                asked["StartAfter"] = last
            else:
                raise StoreUnavailableError("the listing does not go on", key=self.url(folder))

    def _delete_batch(self, bucket: str, paths: Sequence[str]) -> None:
        if not self._deletes_singly:
            try:
                self._delete_at_once(bucket, paths)
                return
            except (UnsupportedError, NotFoundError):  # some take the bucket for an object
                pass
        keys = (f"{bucket}/{path}" for path in paths)
        each(lambda key: self._client.start(self._delete_one(key)), keys, _DELETES_IN_FLIGHT)
        self._deletes_singly = True

    def _delete_at_once(self, bucket: str, paths: Sequence[str]) -> None:
        objects = [{"Key": path} for path in paths]
        answer = self._client.call("delete_objects", bucket, Delete={"Objects": objects, "Quiet": True})
        for failed in answer.get("Errors", ()):
            error = refusal(failed["Code"], 0, "delete_objects", self.url(f"{bucket}/{failed['Key']}"))
            if not isinstance(error, NotFoundError):
                raise error

    async def _delete_one(self, key: str) -> None:
        with suppress(NotFoundError):  # some answer so, where S3 says that it is gone
            await self._client.send("delete_object", key)
