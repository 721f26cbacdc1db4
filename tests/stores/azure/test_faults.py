"""AzureStore when the network, the server or the credentials fail: Azurite behind a faulty proxy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

from ckptptr.clock import Patience
from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores.azure.errors import translated
from ckptptr.stores.azure.store import AzureStore
from ckptptr.stores.azure.words import refusal
from ckptptr.stores.port import Entry, UnsupportedError
from ckptptr.testing import FaultConformance
from ckptptr.testing.conformance.faults import OPERATIONS
from tests.servers.azurite import Azurite, ask, open_filesystem
from tests.servers.proxy import FaultProxy, Rule
from tests.stores import dialects
from tests.stores.azure.conftest import BLOCK

pytestmark = pytest.mark.servers

MIB = 1024 * 1024


class TestAzureStoreWithFaults(FaultConformance):
    dialect = dialects.AZURE
    storm = (2.9, 10)
    most_fed = 100

    @pytest.fixture
    def network(self, azure_proxy: FaultProxy) -> FaultProxy:
        return azure_proxy

    @pytest.fixture
    def store(self, proxied: AzureStore) -> AzureStore:
        return proxied

    @pytest.fixture
    def impatient(self, azure_server: Azurite, azure_proxy: FaultProxy) -> Iterator[AzureStore]:
        connection = azure_server.connection_string(azure_proxy.endpoint)
        with open_filesystem(connection, read_timeout=1) as filesystem:
            yield AzureStore(filesystem, block_size=BLOCK, patience=Patience(tries=2, wait=0.01))

    @pytest.fixture
    def folder(self, folder: str) -> str:
        return folder


# Lost replies and failing servers


@pytest.mark.parametrize("status", [503, 429])
def test_being_asked_twice_to_slow_down_is_made_good_in_two_seconds(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str, status: int
) -> None:
    azure_proxy.add(Rule(status=status, code="ServerBusy", times=2))
    started = time.monotonic()
    proxied.create(f"{folder}/x", b"1")
    assert time.monotonic() - started < 2
    assert [seen.status for seen in azure_proxy.log] == [status, status, 201]


def test_a_server_that_is_not_there_is_unavailable(azure_server: Azurite) -> None:
    with (
        open_filesystem(azure_server.connection_string("http://127.0.0.1:1")) as filesystem,
        pytest.raises(StoreUnavailableError, match="no answer"),
    ):
        AzureStore(filesystem, patience=Patience(tries=2)).read("container/x")


@pytest.mark.parametrize("lost", [r"comp=block&", r"comp=blocklist"])
def test_a_part_of_an_upload_whose_reply_is_lost_is_sent_again(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str, lost: str
) -> None:
    azure_proxy.add(Rule(method="PUT", path=lost, drop="after"))
    proxied.upload(f"{folder}/x", [b"a" * BLOCK, b"b" * BLOCK, b"c"])
    assert len(azure_proxy.log) == 5
    assert b"".join(proxied.download(f"{folder}/x", BLOCK - 1, 2)) == b"ab"
    assert [*proxied.list(folder)] == [Entry(f"{folder}/x", 2 * BLOCK + 1)]


def test_an_object_that_could_not_be_deleted_is_reported_and_one_that_is_gone_is_not(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str
) -> None:
    azure_proxy.add(Rule(method="DELETE", path="kept", status=403, code="AuthorizationPermissionMismatch"))
    with pytest.raises(AccessDeniedError, match=r"/kept\. Grant .*blobs/delete"):
        proxied.delete([f"{folder}/gone", f"{folder}/kept"])


# The container and the credentials


def test_a_wrong_key_is_denied_and_never_shown(azure_server: Azurite, folder: str) -> None:
    wrong = Azurite()
    secret, wrong.account = wrong.key, azure_server.account
    with open_filesystem(wrong.connection_string(azure_server.endpoint)) as filesystem:
        with pytest.raises(AccessDeniedError) as caught:
            AzureStore(filesystem).read(f"{folder}/x")
        assert secret not in str(caught.value)


def test_a_key_that_is_no_key_at_all_is_denied_and_never_shown(azure_server: Azurite, folder: str) -> None:
    wrong = Azurite()
    wrong.key = "c2VjcmV0"[:-1]  # not base64
    with open_filesystem(wrong.connection_string(azure_server.endpoint)) as filesystem:
        with pytest.raises(AccessDeniedError, match="no usable Azure credentials") as caught:
            AzureStore(filesystem).read(f"{folder}/x")
        assert wrong.key not in str(caught.value)


def test_a_signature_is_never_shown(azure_server: Azurite, folder: str) -> None:
    endpoint = f"BlobEndpoint={azure_server.endpoint}/{azure_server.account}"
    with open_filesystem(f"{endpoint};SharedAccessSignature=sv=2024-01-01&sig=hush") as filesystem:
        for run in OPERATIONS.values():
            with pytest.raises(AccessDeniedError) as caught:
                run(AzureStore(filesystem), f"{folder}/x")
            assert "hush" not in str(caught.value)


def test_missing_credentials_are_denied() -> None:
    with (
        pytest.raises(AccessDeniedError, match="no usable Azure credentials"),
        translated("download_blob", "abfs://c/x"),
    ):
        raise ClientAuthenticationError("no identity is configured here")


def test_what_the_sdk_cannot_explain_is_unavailable() -> None:
    with pytest.raises(StoreUnavailableError, match="no answer"), translated("download_blob", "abfs://c/x"):
        raise HttpResponseError("a body was cut, three times")


def test_a_lease_that_somebody_holds_is_no_conflict(
    azure_filesystem: Any, store: AzureStore, folder: str
) -> None:
    token = store.create(f"{folder}/x", b"1")
    ask(azure_filesystem, f"{folder}/x", "acquire_lease", 15)
    for write in (lambda: store.replace(f"{folder}/x", b"2", token), lambda: store.delete([f"{folder}/x"])):
        with pytest.raises(StoreUnavailableError, match="lease"):
            write()


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("ConditionNotMet", 412, ConflictError),
        ("Anything", 412, ConflictError),
        ("BlobAlreadyExists", 409, ConflictError),
        ("LeaseIdMissing", 412, StoreUnavailableError),
        ("PendingCopyOperation", 409, StoreUnavailableError),
        ("BlobImmutableDueToPolicy", 409, AccessDeniedError),
        ("PublicAccessNotPermitted", 409, AccessDeniedError),
        ("Anything", 409, StoreUnavailableError),
        ("BlobNotFound", 404, NotFoundError),
        ("ContainerNotFound", 404, InvalidArgumentError),
        ("ContainerBeingDeleted", 409, InvalidArgumentError),
        ("ResourceNotFound", 404, AccessDeniedError),
        ("Anything", 404, StoreUnavailableError),
        ("InvalidRange", 416, DamagedError),
        ("AuthenticationFailed", 403, AccessDeniedError),
        ("AuthorizationPermissionMismatch", 403, AccessDeniedError),
        ("NoAuthenticationInformation", 401, AccessDeniedError),
        ("", 403, AccessDeniedError),
        ("InvalidMetadata", 400, InvalidArgumentError),
        ("InvalidResourceName", 400, InvalidArgumentError),
        ("Md5Mismatch", 400, StoreUnavailableError),
        ("UnsupportedHeader", 400, UnsupportedError),
        ("NotImplemented", 501, UnsupportedError),
        ("ServerBusy", 503, StoreUnavailableError),
        ("", 0, StoreUnavailableError),
    ],
)
def test_error_codes_have_one_meaning(code: str, status: int, expected: type[CkptptrError]) -> None:
    assert type(refusal(code, status, "download_blob", "abfs://c/x")) is expected
