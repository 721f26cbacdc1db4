"""Copies of objects that are too large for one request of S3's, 5 GiB, without having one."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from ckptptr.errors import StoreUnavailableError
from ckptptr.stores.s3.store import S3Store

pytestmark = pytest.mark.servers

GIB = 1024**3


class Amazon:
    """Answers in place of the server; parts only once as many as may be are under way."""

    def __init__(self, size: int, breaks_at: int = 0) -> None:
        self._size = size
        self._breaks_at = breaks_at
        self._under_way = 0
        self._all_under_way = asyncio.Event()
        self.operations: list[str] = []
        self.spans: dict[int, tuple[int, int]] = {}
        self.completed: list[int] = []

    async def send(self, operation: str, _: str, **parameters: Any) -> dict[str, Any]:
        self.operations.append(operation)
        match operation:
            case "head_object":
                return {"ContentLength": self._size, "ETag": '"version"'}
            case "create_multipart_upload":
                return {"UploadId": "upload"}
            case "upload_part_copy":
                return await self._copy(parameters)
            case "complete_multipart_upload":
                self.completed = [part["PartNumber"] for part in parameters["MultipartUpload"]["Parts"]]
        return {}

    async def _copy(self, parameters: dict[str, Any]) -> dict[str, Any]:
        assert parameters["CopySourceIfMatch"] == '"version"'
        number = parameters["PartNumber"]
        if number == self._breaks_at:
            raise StoreUnavailableError("no answer")
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", parameters["CopySourceRange"])
        assert found
        self.spans[number] = (int(found[1]), int(found[2]) + 1)
        self._under_way += 1
        if self._under_way == 8:
            self._all_under_way.set()
        await asyncio.wait_for(self._all_under_way.wait(), 10)
        return {"CopyPartResult": {"ETag": f'"{number}"'}}


def copied(filesystem: Any, monkeypatch: pytest.MonkeyPatch, server: Amazon) -> None:
    store = S3Store(filesystem)
    monkeypatch.setattr(store._client, "send", server.send)
    store.copy("bucket/source", "bucket/copy")


@pytest.mark.parametrize("size", [5 * GIB, 5 * GIB + 1, 2500 * GIB])
def test_what_one_request_cannot_copy_is_copied_in_parallel_parts_without_a_gap(
    s3_filesystem: Any, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    server = Amazon(size)
    copied(s3_filesystem, monkeypatch, server)
    numbers = sorted(server.spans)
    spans = [server.spans[number] for number in numbers]
    assert server.completed == numbers == [*range(1, len(numbers) + 1)]
    assert (spans[0][0], spans[-1][1]) == (0, size)
    assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
    assert max(end - start for start, end in spans) <= 5 * GIB
    assert len(spans) <= 10_000


def test_a_part_that_fails_ends_the_copy_and_leaves_no_parts(
    s3_filesystem: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Amazon(8 * GIB, breaks_at=3)
    with pytest.raises(StoreUnavailableError, match="no answer"):
        copied(s3_filesystem, monkeypatch, server)
    assert server.completed == []
    assert server.operations[-1] == "abort_multipart_upload"
