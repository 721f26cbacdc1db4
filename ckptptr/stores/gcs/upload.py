"""One resumable upload: begun, fed block by block, completed by its last block, abandoned if anything fails.

The object becomes visible by the completion, so never in part. Google takes the blocks of one upload
one after the other only: while one is on its way, the next is being made. After a failure it is asked
how much arrived, and the rest of the block is sent. What a kill leaves behind is invisible, costs
nothing and is dropped by Google after a week.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Any

import google_crc32c

from ckptptr.errors import CkptptrError, StoreUnavailableError
from ckptptr.stores.gcs.client import Answer, Body, GCSClient, Request, as_text, bucket_path
from ckptptr.stores.gcs.errors import CONTINUE, PassingError
from ckptptr.stores.room import Room

CHUNK = 256 * 1024
"""Blocks are multiples of this, but for the last."""

_INCOMPLETE = 308
_CANCELLED = 499

_log = logging.getLogger("ckptptr.stores")


class ResumableUpload:
    """Use as a context manager; `put` blocks in order, and the end of the `with` block completes.

    `room` bounds the blocks on their way: shared between uploads, it bounds their memory together.
    """

    def __init__(self, client: GCSClient, key: str, resource: Mapping[str, Any], room: Room) -> None:
        self._client = client
        self._key = key
        self._resource = resource
        self._room = room
        self._held: bytes | None = None
        self._sent = 0
        self._crc = 0
        self._pending: Future[Answer] | None = None

    def __enter__(self) -> ResumableUpload:
        begin = Request(
            "upload",
            self._key,
            "POST",
            f"/upload/storage/v1/{bucket_path(self._key)}/o",
            {"uploadType": "resumable"},
            {"Content-Type": "application/json"},
            Body(json.dumps(self._resource).encode()),
        )
        self._session = self._client.call(begin).header("Location")
        return self

    def put(self, block: bytes) -> None:
        """Send the block before this one. Raises what an earlier one failed with."""
        self._crc = google_crc32c.extend(self._crc, block)
        if self._held is not None:
            self._start(self._held, last=False)
        self._held = block

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.answer = self._start(self._held or b"", last=True).result()
        except BaseException:
            self._abandon()
            raise
        if error is not None:
            self._abandon()

    @property
    def size(self) -> int:
        return self._sent

    @property
    def crc32c(self) -> str:
        return as_text(self._crc)

    def _start(self, block: bytes, *, last: bool) -> Future[Answer]:
        if self._pending:
            self._pending.result()
        start = self._sent
        self._sent += len(block)
        total = self._sent if last else None
        self._room.take(len(block))
        try:
            pending = self._client.start(self._key, lambda: self._send(block, start, total))
        except BaseException:
            self._room.give(len(block))
            raise
        self._room.give_after(pending, len(block))
        self._pending = pending
        return pending

    async def _send(self, block: bytes, start: int, total: int | None) -> Answer:
        """Until all of the block is there; `total` is the size of the object, with its last block."""
        end = start + len(block)
        there: int | None = start  # how much the store has; None when it has to be asked

        async def attempt() -> Answer:
            nonlocal there
            while True:
                before, there = there, None
                if before is None or before == end:
                    answer = await self._client.once(self._request("*", total))
                else:
                    rest = Body(memoryview(block)[before - start :])
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

        return await self._client.patiently(attempt)

    def _request(self, span: str, total: int | None, body: Body | None = None) -> Request:
        headers = {"Content-Range": f"bytes {span}/{'*' if total is None else total}"}
        if total is not None:  # the store compares before the object becomes visible
            headers["X-Goog-Hash"] = f"crc32c={self.crc32c}"
        return Request(
            CONTINUE, self._key, "PUT", self._session, headers=headers, body=body, welcome=(_INCOMPLETE,)
        )

    def _abandon(self) -> None:
        if self._pending:
            self._pending.cancel()
            wait([self._pending])
        drop = Request(CONTINUE, self._key, "DELETE", self._session, welcome=(_CANCELLED,))
        try:
            self._client.call(drop)
        except CkptptrError as error:  # what made us abandon it is what the caller wants to hear of
            _log.info("an abandoned upload stays behind, invisible, for a week: %s", error)


def _persisted(answer: Answer) -> int:
    match = re.fullmatch(r"bytes=0-(\d+)", answer.headers.get("Range", ""))
    return int(match[1]) + 1 if match else 0
