"""One Azure upload in blocks: several in flight, and committed when all have arrived.

The object becomes visible by the commit, so never in part. A kill leaves blocks behind, invisible; Azure
forgets them a week later.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from azure.storage.blob import BlobBlock

from ckptptr.errors import InvalidArgumentError
from ckptptr.stores.azure.client import AzureClient, url
from ckptptr.stores.parts import Parts
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
    *,
    room: Room,
    max_blocks: int,
) -> None:
    """Stage the blocks as they come and commit them in order.

    `room` bounds the blocks in flight, of all uploads that share it.
    """
    unique = uuid.uuid4().hex[:26]
    names: list[str] = []
    parts: Parts[Any] = Parts(client.start, room, client.line)
    try:
        for block in blocks:
            names.append(_name(unique, len(names), key, max_blocks))
            headers = checksum(block)
            parts.wait_for_room(len(block))
            work = client.send("stage_block", key, block_id=names[-1], data=block, headers=headers)
            parts.start(work, len(block))
        parts.finish()
    except BaseException:
        parts.cancel()
        raise
    staged = [BlobBlock(name) for name in names]
    client.call("commit_block_list", key, block_list=staged, metadata=dict(metadata))


def _name(unique: str, number: int, key: str, most: int) -> str:
    """Of equal length for all blocks of an object, also those that others left under its name.

    32 characters are what adlfs takes. Unique, so that no block of a killed upload is used.
    """
    if number == most:
        raise InvalidArgumentError(
            f"the object needs more than the {most} blocks that Azure allows",
            key=url(key),
            hint="Save it as several files, or open the store with a larger block size.",
        )
    return f"{unique}{number:06}"
