"""One Azure upload in blocks: several in flight, and committed when all are there.

The object becomes visible by the commit, so never in part. A kill leaves blocks behind, invisible;
Azure forgets them a week later.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from azure.storage.blob import BlobBlock

from ckptptr.errors import InvalidArgumentError
from ckptptr.stores.azure.client import AzureClient, url
from ckptptr.stores.room import Room

MAX_BLOCKS = 50_000


def checksum(block: bytes) -> dict[str, str]:
    """The header that makes Azure compare what arrives with its MD5, and refuse what differs.

    The SDK would compute it on the event loop, which has sockets to serve.
    """
    digest = hashlib.md5(block, usedforsecurity=False).digest()
    return {"Content-MD5": base64.b64encode(digest).decode()}


def upload_blocks(
    client: AzureClient,
    key: str,
    blocks: Iterable[bytes],
    metadata: Mapping[str, str],
    room: Room,
) -> None:
    """Stage the blocks as they come and commit them in order.

    `room` bounds the blocks in flight: shared between uploads, it bounds their memory together.
    """
    unique = uuid.uuid4().hex[:26]
    staged: list[BlobBlock] = []
    pending: deque[Future[Any]] = deque()
    try:
        for block in blocks:
            while pending and pending[0].done():
                pending.popleft().result()
            name = _block_name(unique, len(staged), key)
            headers = checksum(block)
            room.take(len(block))
            part = client.start(client.send("stage_block", key, block_id=name, data=block, headers=headers))
            room.give_after(part, len(block))
            pending.append(part)
            staged.append(BlobBlock(name))
        while pending:
            pending.popleft().result()
    except BaseException:
        for part in pending:
            part.cancel()
        raise
    client.call("commit_block_list", key, block_list=staged, metadata=dict(metadata))


def _block_name(unique: str, number: int, key: str) -> str:
    """Of equal length for all blocks of an object, also those that others left under its name.

    32 characters are what adlfs takes. Unique, so that no block of a killed upload is taken up.
    """
    if number == MAX_BLOCKS:
        raise InvalidArgumentError(
            f"the object needs more than the {MAX_BLOCKS} blocks that Azure allows",
            key=url(key),
            hint="Save it as several files, or open the store with a larger block size.",
        )
    return f"{unique}{number:06}"
