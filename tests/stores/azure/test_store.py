"""AzureStore against Azurite; its requests are counted by the proxy."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from azure.core.credentials import AzureSasCredential
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from ckptptr.clock import SystemClock
from ckptptr.errors import InvalidArgumentError, NotFoundError
from ckptptr.stores.azure.store import MAX_BLOCK_SIZE, AzureStore
from ckptptr.stores.port import Entry, Guarantee
from ckptptr.stores.urls import Location, split
from ckptptr.stores.wrappers.probe import with_known_guarantee
from ckptptr.testing import StoreConformance
from tests.servers.azurite import Azurite, ask, open_filesystem
from tests.servers.proxy import FaultProxy
from tests.stores.azure.conftest import BLOCK

pytestmark = pytest.mark.servers


class TestAzureStore(StoreConformance):
    guarantee = Guarantee.UNPROVEN  # an endpoint that is not Azure's own
    odd_names = tuple(name for name in StoreConformance.odd_names if "\\" not in name)  # refused, see below

    @pytest.fixture
    def store(self, azure_filesystem: Any) -> AzureStore:
        return AzureStore(azure_filesystem, block_size=BLOCK)

    @pytest.fixture
    def folder(self, azure_container: str) -> str:
        return f"{azure_container}/{uuid.uuid4().hex}"


# Requests


def test_each_small_operation_is_one_request(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str
) -> None:
    def count(operation: Callable[[], object]) -> list[str]:
        azure_proxy.reset()
        operation()
        return [seen.method for seen in azure_proxy.log]

    key = f"{folder}/x"
    assert count(lambda: proxied.create(key, b"1")) == ["PUT"]
    assert count(lambda: proxied.read(key)) == ["GET"]
    token = proxied.read(key)[1]
    assert count(lambda: proxied.replace(key, b"2", token)) == ["PUT"]
    assert count(lambda: proxied.upload(key, [bytes(BLOCK)])) == ["PUT"]
    assert count(lambda: b"".join(proxied.download(key, 7, 1000))) == ["GET"]
    assert count(lambda: b"".join(proxied.download(key, 7, 0))) == []
    assert count(lambda: list(proxied.list(folder))) == ["GET"]
    assert count(lambda: proxied.copy(key, f"{folder}/y")) == ["PUT"]
    assert count(lambda: proxied.delete([key, f"{folder}/y"])) == ["DELETE"] * 2


def test_a_larger_upload_is_one_request_for_each_block_and_one_to_commit(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str
) -> None:
    proxied.upload(f"{folder}/x", [bytes(BLOCK)] * 3 + [b"end"])
    kinds = ["block" if "comp=block&" in f"{seen.path}&" else "list" for seen in azure_proxy.log]
    assert kinds == ["block"] * 4 + ["list"]


def test_a_copy_moves_no_payload_through_here(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str
) -> None:
    proxied.upload(f"{folder}/x", [bytes(BLOCK)] * 2 + [b"end"])
    azure_proxy.reset()
    proxied.copy(f"{folder}/x", f"{folder}/y")
    assert sum(seen.sent + seen.received for seen in azure_proxy.log) == 0
    assert b"".join(proxied.download(f"{folder}/y", 2 * BLOCK, 3)) == b"end"


@pytest.mark.parametrize("block", [BLOCK, MAX_BLOCK_SIZE])
def test_a_block_is_moved_in_one_request_however_large(
    azure_proxied: Any, azure_proxy: FaultProxy, folder: str, block: int
) -> None:
    store = AzureStore(azure_proxied, block_size=block)
    store.upload(f"{folder}/x", [bytes(block)])
    assert len(b"".join(store.download(f"{folder}/x", 0, block))) == block
    assert [seen.method for seen in azure_proxy.log] == ["PUT", "GET"]


def test_listings_go_in_pages(azure_proxied: Any, azure_proxy: FaultProxy, folder: str) -> None:
    proxied = AzureStore(azure_proxied, page=10)
    names = [f"{folder}/{number:02}" for number in range(25)]
    for name in names:
        proxied.create(name, b"1")
    azure_proxy.reset()
    assert [*proxied.list(folder)] == [Entry(name, 1) for name in names]
    assert [seen.method for seen in azure_proxy.log] == ["GET"] * 3


def test_more_objects_are_deleted_than_requests_are_in_flight(store: AzureStore, folder: str) -> None:
    names = [f"{folder}/{number}" for number in range(50)]
    for name in names:
        store.create(name, b"1")
    store.delete([*names, f"{folder}/never-was"])
    assert [*store.list(folder)] == []


# Names


def test_a_name_that_azure_would_change_is_refused(store: AzureStore, folder: str) -> None:
    for write in (store.create, lambda key, body: store.upload(key, [body])):
        with pytest.raises(InvalidArgumentError, match="backslash"):
            write(f"{folder}/a\\b", b"1")


def test_a_container_is_no_object(store: AzureStore, azure_container: str) -> None:
    with pytest.raises(InvalidArgumentError, match="names a container"):
        store.read(azure_container)


# Directories, which accounts with hierarchical namespace have


def test_a_directory_is_neither_listed_nor_read(
    azure_filesystem: Any, store: AzureStore, folder: str
) -> None:
    for name, marks in (("d", {"hdi_isfolder": "true"}), ("e", {"Hdi_isfolder": "true"}), ("marker/", {})):
        ask(azure_filesystem, f"{folder}/{name}", "upload_blob", b"", metadata=marks)
    store.create(f"{folder}/d/x", b"1")
    assert [*store.list(folder)] == [Entry(f"{folder}/d/x", 1)]
    for name in ("d", "e"):
        with pytest.raises(NotFoundError):
            store.read(f"{folder}/{name}")


# Credentials


def signature(server: Azurite) -> str:
    return generate_account_sas(
        account_name=server.account,
        account_key=server.key,
        resource_types=ResourceTypes(object=True, container=True),
        permission=AccountSasPermissions(read=True, write=True, delete=True, list=True, create=True),
        expiry=datetime.now(timezone.utc) + timedelta(hours=1),
    )


def use(store: AzureStore, folder: str) -> None:
    token = store.create(f"{folder}/x", b"1")
    store.replace(f"{folder}/x", b"2", token)
    store.upload(f"{folder}/y", [bytes(BLOCK), b"1"])
    store.copy(f"{folder}/y", f"{folder}/z")
    assert [entry.size for entry in store.list(folder)] == [1, BLOCK + 1, BLOCK + 1]
    store.delete([f"{folder}/x"])


def test_a_signature_in_the_connection_string_is_enough(azure_server: Azurite, folder: str) -> None:
    endpoint = f"BlobEndpoint={azure_server.endpoint}/{azure_server.account}"
    connection = f"{endpoint};SharedAccessSignature={signature(azure_server)}"
    with open_filesystem(connection) as filesystem:
        use(AzureStore(filesystem, block_size=BLOCK), folder)


def test_a_signature_that_the_sdk_adds_to_each_request_covers_copies_too(
    azure_server: Azurite, azure_filesystem: Any, folder: str
) -> None:
    service = type(azure_filesystem.service_client)
    credential = AzureSasCredential(signature(azure_server))
    with open_filesystem(azure_server.connection_string()) as filesystem:
        url = f"{azure_server.endpoint}/{azure_server.account}"
        filesystem.service_client = service(url, credential=credential)
        use(AzureStore(filesystem, block_size=BLOCK), folder)


def test_a_filesystem_made_as_flytekit_makes_it_works(
    azure_server: Azurite, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azure_server.connection_string())
    with open_filesystem(anon=False) as filesystem:
        store = AzureStore(filesystem)
        assert store.account == azure_server.account
        store.create(f"{folder}/x", b"1")
        assert [*store.list(folder)] == [Entry(f"{folder}/x", 1)]


# What conditional writes are worth


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.blob.core.windows.net", Guarantee.COMPARE_AND_SWAP),
        ("a.blob.core.usgovcloudapi.net", Guarantee.COMPARE_AND_SWAP),
        ("a.z42.blob.storage.azure.net", Guarantee.COMPARE_AND_SWAP),
        ("a.blob.core.windows.net.example.org", Guarantee.UNPROVEN),
        ("127.0.0.1:10000", Guarantee.UNPROVEN),
    ],
)
def test_only_azure_itself_is_known_to_swap(host: str, expected: Guarantee) -> None:
    with open_filesystem(f"BlobEndpoint=https://{host}/a;SharedAccessSignature=sig=x") as filesystem:
        assert AzureStore(filesystem).guarantee is expected


def test_a_custom_endpoint_is_asked(store: AzureStore, folder: str) -> None:
    assert with_known_guarantee(store, folder, SystemClock(), {}) is store  # Azurite keeps its promises
    assert [*store.list(folder)] == []


# Forks

AFTER_FORK = """
import os, sys
import adlfs
from ckptptr.stores.azure.store import AzureStore
key = sys.argv[1]
store = AzureStore(adlfs.AzureBlobFileSystem())
store.create(key + "/parent", b"1")
if child := os.fork():
    status = os.waitpid(child, 0)[1]
    store.create(key + "/parent-again", b"1")
    sys.exit(os.waitstatus_to_exitcode(status))
store.create(key + "/child", b"1")
os._exit(0)  # as workers of multiprocessing end: adlfs's own exit handler waits for the parent's loop
"""


def test_a_store_works_on_in_a_forked_child(azure_server: Azurite, store: AzureStore, folder: str) -> None:
    environ = {**os.environ, "AZURE_STORAGE_CONNECTION_STRING": azure_server.connection_string()}
    command = [sys.executable, "-W", "ignore", "-c", AFTER_FORK, folder]
    subprocess.run(command, check=True, timeout=60, env=environ)
    names = [entry.key.rpartition("/")[2] for entry in store.list(folder)]
    assert names == ["child", "parent", "parent-again"]


# URLs


@pytest.mark.parametrize(
    ("rest", "key", "account"),
    [
        ("container/a/b", "container/a/b", ""),
        ("container", "container", ""),
        ("container@account1.dfs.core.windows.net/a/b", "container/a/b", "account1"),
        ("container@account1.blob.core.windows.net", "container", "account1"),
        ("container@account1.dfs.core.chinacloudapi.cn/a", "container/a", "account1"),
        ("account1.dfs.core.windows.net/container/a", "container/a", "account1"),
        ("container/a@b.dfs.core.windows.net/c", "container/a@b.dfs.core.windows.net/c", ""),
        ("container@elsewhere.example/a", "container@elsewhere.example/a", ""),
    ],
)
def test_the_long_form_of_a_url_names_the_same_key_as_for_adlfs(rest: str, key: str, account: str) -> None:
    from adlfs import AzureBlobFileSystem

    assert split(f"abfss://{rest}") == Location("abfs", key, account)
    if account and ".blob." not in rest:
        assert AzureBlobFileSystem._strip_protocol(f"abfs://{rest}") == key


def test_a_url_is_the_short_form(store: AzureStore) -> None:
    assert store.url("container/a b") == "abfs://container/a b"
