"""One resumable upload to Google Cloud Storage, block by block; abandoned when anything fails.

The object becomes visible by its last block, so never in part. Google takes the blocks of one upload one
after the other: while one is on its way, the next is made. After a failure the store is asked how much
arrived, and the rest of the block is sent. What a kill leaves behind is invisible, costs nothing, and
Google drops it after a week.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

import google_crc32c

from ckptptr.errors import CkptptrError, StoreUnavailableError
from ckptptr.stores.gcs.client import GCSClient, HttpAnswer, HttpRequest, Pieces, as_text, bucket_path
from ckptptr.stores.gcs.words import CONTINUE
from ckptptr.stores.in_flight import begun
from ckptptr.stores.room import Room
from ckptptr.stores.sdk import PassingError

CHUNK = 256 * 1024
"""Blocks are multiples of this, except the last."""

_INCOMPLETE = 308
_CANCELLED = 499

_log = logging.getLogger("ckptptr.stores")


def upload_blocks(
    client: GCSClient, key: str, blocks: Iterator[bytes], resource: Mapping[str, Any], room: Room
) -> tuple[int, str, HttpAnswer]:
    """Send the blocks. `room` bounds those under way, of all uploads that share it.

    Returns:
        The size, the CRC32C, and what the store says about the object.
    """
    begin = HttpRequest(
        "upload",
        key,
        "POST",
        f"/upload/storage/v1/{bucket_path(key)}/o",
        {"uploadType": "resumable"},
        {"Content-Type": "application/json"},
        Pieces(json.dumps(resource).encode()),
    )
    upload = _Upload(client, key, client.call(begin).header("Location"))
    flight: Future[HttpAnswer] | None = None
    try:
        block = next(blocks, b"")
        while True:
            following = next(blocks, None)
            if flight:
                flight.result()
            send = partial(upload.send, block, is_last=following is None)
            flight = begun(send, len(block), room, client.line)
            if following is None:
                return upload.size, as_text(upload.crc), flight.result()
            block = following
    except BaseException:
        if flight:
            flight.cancel()
        upload.abandon()
        raise


class _Upload:
    """What was sent so far; `session` is a URL that works without credentials, so it is never shown."""

    def __init__(self, client: GCSClient, key: str, session: str) -> None:
        self._client = client
        self._key = key
        self._session = session
        self.size = 0
        self.crc = 0

    def send(self, block: bytes, *, is_last: bool) -> Future[HttpAnswer]:
        """Send a block, once the one before has arrived; the future ends when the store has all of it."""
        start, self.size = self.size, self.size + len(block)
        self.crc = google_crc32c.extend(self.crc, block)
        end, total = self.size, self.size if is_last else None
        there: int | None = start  # how much the store has; None when it has to be asked

        async def attempt() -> HttpAnswer:
            nonlocal there
            while True:
                before, there = there, None
                if before is None or before == end:
                    answer = await self._client.once(self._request("*", total))
                else:
                    rest = Pieces(memoryview(block)[before - start :])
                    answer = await self._client.once(self._request(f"{before}-{end - 1}", total, rest))
                if answer.status != _INCOMPLETE:
                    return answer
                there = _persisted(answer)
                if there == end and total is None:
                    return answer
                if not start <= there <= end:
                    raise StoreUnavailableError("the store has lost a part of the upload", key=answer.url)
                if there == before:
                    raise PassingError(StoreUnavailableError("the store takes no more of it", key=answer.url))

        return self._client.start(self._key, lambda: self._client.patiently(attempt))

    def abandon(self) -> None:
        drop = HttpRequest(CONTINUE, self._key, "DELETE", self._session, welcome=(_CANCELLED,))
        try:
            self._client.call(drop)
        except CkptptrError as error:  # the caller wants to hear why it was abandoned
            _log.info("an abandoned upload stays behind, invisible, for a week: %s", error)

    def _request(self, span: str, total: int | None, body: Pieces | None = None) -> HttpRequest:
        headers = {"Content-Range": f"bytes {span}/{'*' if total is None else total}"}
        if total is not None:  # the store compares before the object becomes visible
            headers["X-Goog-Hash"] = f"crc32c={as_text(self.crc)}"
        return HttpRequest(
            CONTINUE, self._key, "PUT", self._session, headers=headers, body=body, welcome=(_INCOMPLETE,)
        )


def _persisted(answer: HttpAnswer) -> int:
    match = re.fullmatch(r"bytes=0-(\d+)", answer.headers.get("Range", ""))
    return int(match[1]) + 1 if match else 0
