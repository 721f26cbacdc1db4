"""How AzureStore uploads payload: blocks, their bounds, and what they carry."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ckptptr.errors import AccessDeniedError, InvalidArgumentError, StoreUnavailableError
from ckptptr.stores.azure import upload as azure_upload
from ckptptr.stores.azure.store import MAX_BLOCK_SIZE, AzureStore
from ckptptr.stores.room import MOST
from tests.servers.azurite import ask
from tests.servers.proxy import FaultProxy, Rule
from tests.stores.azure.conftest import BLOCK

pytestmark = pytest.mark.servers

GIB = 1024 * 1024 * 1024

# Bounds


def test_the_default_sizes_make_objects_of_781_gib_possible(azure_filesystem: Any) -> None:
    assert AzureStore(azure_filesystem).block_size * azure_upload.MAX_BLOCKS > 781 * GIB


@pytest.mark.parametrize("size", [0, -1, MAX_BLOCK_SIZE + 1])
def test_a_block_size_that_does_not_fit_one_request_is_refused(azure_filesystem: Any, size: int) -> None:
    with pytest.raises(InvalidArgumentError, match="block size"):
        AzureStore(azure_filesystem, block_size=size)


def test_more_blocks_than_azure_takes_are_an_invalid_argument_and_leave_nothing(
    azure_filesystem: Any, folder: str
) -> None:
    store = AzureStore(azure_filesystem, block_size=BLOCK, max_blocks=2)
    with pytest.raises(InvalidArgumentError, match="more than the 2 blocks"):
        store.upload(f"{folder}/x", [bytes(BLOCK)] * 3)
    assert [*store.list(folder)] == []


def test_an_upload_takes_up_nothing_of_an_abandoned_one(store: AzureStore, folder: str) -> None:
    def blocks() -> Iterator[bytes]:
        yield from [b"a" * BLOCK] * 3
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.upload(f"{folder}/x", blocks())
    store.upload(f"{folder}/x", [b"b" * BLOCK, b"c"])
    assert store.read(f"{folder}/x")[0] == b"b" * BLOCK + b"c"


def test_an_upload_that_adlfs_left_unfinished_is_no_obstacle(
    azure_filesystem: Any, store: AzureStore, folder: str
) -> None:
    ask(azure_filesystem, f"{folder}/x", "stage_block", uuid.uuid4().hex, b"left by adlfs")
    store.upload(f"{folder}/x", [bytes(BLOCK), b"1"])
    assert b"".join(store.download(f"{folder}/x", BLOCK, 1)) == b"1"


def test_an_upload_that_another_program_left_unfinished_is_told_apart(
    azure_filesystem: Any, store: AzureStore, folder: str
) -> None:
    ask(azure_filesystem, f"{folder}/x", "stage_block", "1", b"left by another program")
    with pytest.raises(StoreUnavailableError, match="another program left an unfinished upload"):
        store.upload(f"{folder}/x", [bytes(BLOCK), b"1"])


def test_an_upload_ends_early_when_a_block_fails(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str
) -> None:
    azure_proxy.add(Rule(method="PUT", path="comp=block&", status=403, code="AuthorizationFailure"))
    fed = []

    def blocks() -> Iterator[bytes]:
        for number in range(200):
            fed.append(number)
            yield bytes(BLOCK)

    with pytest.raises(AccessDeniedError, match="blobs/write"):
        proxied.upload(f"{folder}/x", blocks())
    assert len(fed) < 100
    assert [*proxied.list(folder)] == []


def test_only_a_few_blocks_are_in_flight_however_many_uploads_run(
    store: AzureStore, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    flying, most = 0, 0

    async def send(operation: str, *_: object, **__: object) -> None:  # all on the one event loop
        nonlocal flying, most
        if operation == "stage_block":
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(0.01)
            flying -= 1

    monkeypatch.setattr(store._client, "send", send)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: store.upload(f"{folder}/{name}", [b"1"] * 50), "abc"))
    assert most == MOST


# What uploads carry


def test_payload_carries_the_metadata_in_azures_names_and_control_objects_do_not(
    azure_filesystem: Any, folder: str
) -> None:
    tags = {"flyte-execution-name": "axq2", "flyte-execution-project": "p", "2nd": "x"}
    store = AzureStore(azure_filesystem, tags, block_size=BLOCK)
    store.upload(f"{folder}/small", [b"1"])
    store.upload(f"{folder}/large", [bytes(BLOCK)] * 2)
    AzureStore(azure_filesystem).upload(f"{folder}/bare", [b"1"])
    store.copy(f"{folder}/bare", f"{folder}/copy")
    AzureStore(azure_filesystem).copy(f"{folder}/small", f"{folder}/bare-copy")
    token = store.create(f"{folder}/LATEST", b"1")
    store.replace(f"{folder}/LATEST", b"2", token)

    def metadata(name: str) -> dict[str, str]:
        found: dict[str, str] = ask(azure_filesystem, f"{folder}/{name}", "get_blob_properties").metadata
        return found

    expected = {"flyte_execution_name": "axq2", "flyte_execution_project": "p", "_2nd": "x"}
    for name in ("small", "large", "copy", "bare-copy"):
        assert metadata(name) == expected
    assert metadata("bare") == metadata("LATEST") == {}


@pytest.mark.parametrize(("has_crc64", "refused"), [(True, "Crc64Mismatch"), (False, "Md5Mismatch")])
def test_the_server_checks_the_checksum_that_is_sent(
    store: AzureStore, folder: str, monkeypatch: pytest.MonkeyPatch, has_crc64: bool, refused: str
) -> None:
    if not has_crc64:
        monkeypatch.setattr(azure_upload, "_crc64", None)
    store.upload(f"{folder}/small", [b"1"])
    store.upload(f"{folder}/large", [bytes(BLOCK)] * 2)
    wrong = azure_upload.checksum(b"something else")
    monkeypatch.setattr("ckptptr.stores.azure.store.checksum", lambda _: wrong)
    monkeypatch.setattr(azure_upload, "checksum", lambda _: wrong)
    for blocks in ([b"1"], [bytes(BLOCK)] * 2):
        with pytest.raises(StoreUnavailableError, match=refused):
            store.upload(f"{folder}/x", blocks)
    assert [entry.key.rpartition("/")[2] for entry in store.list(folder)] == ["large", "small"]


def test_a_crc64_of_another_kind_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert azure_upload._crc64_of_azure()
    monkeypatch.setattr("azure.storage.extensions.checksums.crc64.compute", lambda *_: 0)
    assert azure_upload._crc64_of_azure() is None
    monkeypatch.setattr("azure.storage.extensions.checksums.crc64.compute", lambda _: 0)
    assert azure_upload._crc64_of_azure() is None
