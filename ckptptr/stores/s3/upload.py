"""One S3 multipart upload: parts in flight, completed when all have arrived, aborted when anything fails.

The object becomes visible by the completion, so never in part. A kill leaves the parts behind, invisible
but paid for: give the bucket a lifecycle rule that aborts incomplete uploads.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from ckptptr.errors import CkptptrError, InvalidArgumentError, StoreUnavailableError
from ckptptr.stores.in_flight import InFlight
from ckptptr.stores.line import Line
from ckptptr.stores.port import UploadGoneError
from ckptptr.stores.room import ROOM, Room
from ckptptr.stores.s3.client import S3Client, part_of

MAX_PARTS = 10_000
COPY_COUNTS = ROOM // 8
"""A part that is copied takes no memory here, but eight at a time are enough."""

_log = logging.getLogger("ckptptr.stores")


def crc32(block: bytes) -> str:
    """The checksum as S3 writes it."""
    return base64.b64encode(zlib.crc32(block).to_bytes(4, "big")).decode()


def proven(answer: Mapping[str, Any], block: bytes, checksum: str, key: str) -> bool:
    """Whether the answer to a put says that the block, with this CRC32, arrived.

    Servers that know checksums have compared ours before they answered, and repeat it. From the others an
    ETag that is the MD5 is enough; with some kinds of encryption it is not the MD5, and nothing is proven.
    """
    echoed = answer.get("ChecksumCRC32")
    if echoed is not None:
        if echoed != checksum:
            raise StoreUnavailableError("the store received other bytes than were sent", key=f"s3://{key}")
        return True
    return (
        str(part_of(answer, "ETag", key)).strip('"') == hashlib.md5(block, usedforsecurity=False).hexdigest()
    )


class Multipart:
    """Use as a context manager; `put` and `copy` parts in order, and the end of the block completes.

    `room` bounds the parts in flight, of all uploads that share it; so does `line`, if
    the parts are sent and not copied. `proven` says at the end whether a
    checksum acknowledged every part.
    """

    def __init__(
        self,
        client: S3Client,
        key: str,
        metadata: Mapping[str, str],
        room: Room,
        max_parts: int,
        *,
        line: Line | None = None,
    ) -> None:
        self._client = client
        self._key = key
        self._metadata = metadata
        self._max_parts = max_parts
        self._count = 0
        self._parts: InFlight[dict[str, Any]] = InFlight(room, line)
        self.proven = True

    def __enter__(self) -> Multipart:
        answer = self._client.call(
            "create_multipart_upload", self._key, ChecksumAlgorithm="CRC32", Metadata=dict(self._metadata)
        )
        self._upload_id = part_of(answer, "UploadId", self._key)
        return self

    def put(self, block: bytes) -> None:
        checksum = crc32(block)  # here and not on the event loop, which has sockets to serve
        number = self._next()
        self._parts.start(lambda: self._client.start(self._put(number, block, checksum)), len(block))

    def copy(self, source: dict[str, str], etag: str, start: int, length: int) -> None:
        number = self._next()
        span = f"bytes={start}-{start + length - 1}"
        self._parts.start(lambda: self._client.start(self._copy(number, source, etag, span)), COPY_COUNTS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._abort(error)
            return
        try:
            parts = {"Parts": self._parts.finish()}
            self._client.call(
                "complete_multipart_upload", self._key, UploadId=self._upload_id, MultipartUpload=parts
            )
        except BaseException as failure:
            self._abort(failure)
            raise

    def _next(self) -> int:
        """The next part's number."""
        self._count += 1
        if self._count > self._max_parts:
            raise InvalidArgumentError(
                f"the object needs more than the {self._max_parts} parts that S3 allows",
                key=f"s3://{self._key}",
                hint="Save it as several files, or open the store with a larger block size.",
            )
        return self._count

    async def _put(self, number: int, block: bytes, checksum: str) -> dict[str, Any]:
        answer = await self._client.send_payload(
            "upload_part",
            self._key,
            block,
            UploadId=self._upload_id,
            PartNumber=number,
            ChecksumAlgorithm="CRC32",
            ChecksumCRC32=checksum,
        )
        self.proven &= proven(answer, block, checksum, self._key)
        return _part(number, answer)

    async def _copy(self, number: int, source: dict[str, str], etag: str, span: str) -> dict[str, Any]:
        answer = await self._client.send(
            "upload_part_copy",
            self._key,
            UploadId=self._upload_id,
            PartNumber=number,
            CopySource=source,
            CopySourceIfMatch=etag,  # or the parts could be of two versions
            CopySourceRange=span,
        )
        return _part(number, part_of(answer, "CopyPartResult", self._key))

    def _abort(self, reason: BaseException) -> None:
        self._parts.cancel()
        if isinstance(reason, UploadGoneError):
            return  # there is nothing to abort
        try:
            self._client.call("abort_multipart_upload", self._key, UploadId=self._upload_id)
        except CkptptrError as error:  # the caller wants to hear why it was aborted
            _log.warning("parts of an abandoned upload stay behind: %s", error)


def _part(number: int, answer: Mapping[str, Any]) -> dict[str, Any]:
    # The server wants to see again at the end any checksum that it gave for a part.
    named = {name: answer[name] for name in ("ETag", "ChecksumCRC32") if name in answer}
    return {"PartNumber": number, **named}
