"""Payload on its way to Google: blocks, what they carry, and what is left when they stop coming."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

from ckptptr.errors import InvalidArgumentError
from ckptptr.stores.gcs.store import GCSStore
from ckptptr.stores.room import MOST
from tests.servers.gcs import MiniGCS, open_filesystem
from tests.servers.proxy import FaultProxy, Rule
from tests.stores.gcs.conftest import BLOCK

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("gcs_server")]


def test_an_upload_that_fails_is_abandoned(store: GCSStore, gcs_server: MiniGCS, folder: str) -> None:
    name = f"{folder}/x".partition("/")[2]

    def blocks() -> Iterator[bytes]:
        yield from [bytes(BLOCK)] * 3
        assert name in gcs_server.get_json("/sessions")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.upload(f"{folder}/x", blocks())
    assert name not in gcs_server.get_json("/sessions")


def test_a_store_that_keeps_only_a_part_of_each_block_gets_the_rest() -> None:
    with MiniGCS("--keep", str(BLOCK)) as server, open_filesystem(server.endpoint) as filesystem:
        server.make_bucket("b")
        store = GCSStore(filesystem, block_size=3 * BLOCK)
        body = [bytes([number]) * 3 * BLOCK for number in range(2)] + [b"end" * BLOCK]
        store.upload("b/x", body)
        assert store.read("b/x")[0] == b"".join(body)


def test_uploads_share_one_bound_on_the_blocks_that_are_on_their_way(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(Rule(method="PUT", delay=1, times=None))

    def on_their_way() -> int:
        return sum(seen.method == "PUT" and not seen.status for seen in gcs_proxy.log)

    with ThreadPoolExecutor(40) as pool:
        uploads = [
            pool.submit(proxied.upload, f"{folder}/{number}", [bytes(BLOCK)] * 2) for number in range(40)
        ]
        most = 0
        while not all(upload.done() for upload in uploads):
            most = max(most, on_their_way())
            time.sleep(0.01)
        for upload in uploads:
            upload.result()
    assert most == MOST


@pytest.mark.parametrize("size", [0, -BLOCK, BLOCK + 1, 1000])
def test_blocks_are_multiples_of_256_kib(gcs_filesystem: Any, size: int) -> None:
    with pytest.raises(InvalidArgumentError, match="multiple of 256 KiB"):
        GCSStore(gcs_filesystem, block_size=size)


def test_payload_carries_the_metadata_and_control_objects_do_not(
    gcs_filesystem: Any, gcs_server: MiniGCS, folder: str
) -> None:
    tags = {"flyte-execution-name": "axq2", "flyte-execution-project": "p"}
    store = GCSStore(gcs_filesystem, tags, block_size=BLOCK)
    store.upload(f"{folder}/small", [b"1"])
    store.upload(f"{folder}/large", [bytes(BLOCK)] * 2)
    GCSStore(gcs_filesystem).upload(f"{folder}/bare", [b"1"])
    store.copy(f"{folder}/bare", f"{folder}/copy")
    GCSStore(gcs_filesystem).copy(f"{folder}/large", f"{folder}/same")
    token = store.create(f"{folder}/LATEST", b"1")
    store.replace(f"{folder}/LATEST", b"2", token)

    def about(name: str) -> dict[str, Any]:
        bucket, _, path = f"{folder}/{name}".partition("/")
        found: dict[str, Any] = gcs_server.get_json(f"/storage/v1/b/{bucket}/o/{quote(path, safe='')}")
        return found

    for name in ("small", "large", "copy", "same"):
        assert about(name)["metadata"] == tags
        assert about(name)["contentType"] == "application/octet-stream"
    for name in ("bare", "LATEST"):
        assert "metadata" not in about(name)
    # Or a publicly readable LATEST would come out of a cache for an hour.
    assert about("LATEST")["cacheControl"] == "no-store"
