"""One Azure upload in blocks: several in flight, and committed when all have arrived.

The object becomes visible by the commit, so never in part. A kill leaves blocks behind, invisible; Azure
forgets them a week later.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from azure.storage.blob import BlobBlock

from ckptptr.errors import InvalidArgumentError
from ckptptr.stores.azure.client import AzureClient, url
from ckptptr.stores.in_flight import InFlight
from ckptptr.stores.room import Room

MAX_BLOCKS = 50_000


def checksum(block: bytes) -> dict[str, str]:
    """The header that makes Azure compare what arrives with it, and refuse what differs.

    The SDK would compute it on the event loop, which has sockets to serve.
    """
    if _crc64 is None:
        return {"Content-MD5": _base64(hashlib.md5(block, usedforsecurity=False).digest())}
    return {"x-ms-content-crc64": _base64(_crc64(block, 0).to_bytes(8, "little"))}


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _crc64_of_azure() -> Callable[[bytes, int], int] | None:
    """Microsoft's CRC64, for a third of the CPU of an MD5; None where it is not installed.

    It is made for the SDK, and may change in any version. So it has to know the check value of CRC-64/NVME.
    """
    try:
        from azure.storage.extensions.checksums.crc64 import compute

        return compute if compute(b"123456789", 0) == 0xAE8B14860A799888 else None
    except Exception:  # noqa: BLE001 - whatever another version raises
        return None


_crc64 = _crc64_of_azure()


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
    parts: InFlight[Any] = InFlight(room, client.line)
    try:
        for block in blocks:
            names.append(_name(unique, len(names), key, max_blocks))
            parts.start(partial(_begin, client, key, names[-1], block, checksum(block)), len(block))
        parts.finish()
    except BaseException:
        parts.cancel()
        raise
    staged = [BlobBlock(name) for name in names]
    client.call("commit_block_list", key, block_list=staged, metadata=dict(metadata))


def _begin(client: AzureClient, key: str, name: str, block: bytes, headers: Mapping[str, str]) -> Future[Any]:
    return client.start(client.send("stage_block", key, block_id=name, data=block, headers=headers))


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
