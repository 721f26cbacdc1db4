"""AzureStore when the network, the server or the credentials fail: Azurite behind a faulty proxy."""

from __future__ import annotations

import time
from collections.abc import Callable
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
from ckptptr.stores.azure.errors import refusal, translated
from ckptptr.stores.azure.store import AzureStore
from ckptptr.stores.port import Entry, Store, Token
from tests.servers.azurite import Azurite, ask, open_filesystem
from tests.servers.proxy import FaultProxy, Rule
from tests.stores.azure.conftest import BLOCK

pytestmark = pytest.mark.servers

MIB = 1024 * 1024

# Lost replies and failing servers


@pytest.mark.parametrize("patience", ["proxied", "impatient"])
def test_a_create_whose_reply_is_lost_has_landed(
    request: pytest.FixtureRequest, azure_proxy: FaultProxy, folder: str, patience: str
) -> None:
    store: AzureStore = request.getfixturevalue(patience)
    azure_proxy.add(Rule(method="PUT", drop="after"))
    with pytest.raises((ConflictError, StoreUnavailableError)):
        store.create(f"{folder}/x", b"1")
    assert store.read(f"{folder}/x")[0] == b"1"


def test_a_replace_whose_reply_is_lost_has_landed(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str
) -> None:
    token = proxied.create(f"{folder}/x", b"1")
    azure_proxy.add(Rule(method="PUT", drop="after"))
    with pytest.raises((ConflictError, StoreUnavailableError)):
        proxied.replace(f"{folder}/x", b"2", token)
    assert proxied.read(f"{folder}/x")[0] == b"2"


def test_a_connection_cut_before_the_server_heard_is_made_good(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str
) -> None:
    azure_proxy.add(Rule(drop="before"))
    proxied.create(f"{folder}/x", b"1")
    assert [seen.status for seen in azure_proxy.log] == [0, 201]


@pytest.mark.parametrize(
    ("status", "code"), [(409, "BlobAlreadyExists"), (412, "ConditionNotMet"), (412, "")]
)
def test_a_refused_condition_is_a_conflict_even_if_nothing_is_there(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str, status: int, code: str
) -> None:
    azure_proxy.add(Rule(method="PUT", status=status, code=code))
    with pytest.raises(ConflictError):
        proxied.create(f"{folder}/x", b"1")


OPERATIONS: dict[str, tuple[str, Callable[[Store, str], object]]] = {
    "read": ("blobs/read", lambda store, key: store.read(key)),
    "download": ("blobs/read", lambda store, key: b"".join(store.download(key, 0, 1))),
    "create": ("blobs/write", lambda store, key: store.create(key, b"1")),
    "replace": ("blobs/write", lambda store, key: store.replace(key, b"1", Token('"0"'))),
    "upload": ("blobs/write", lambda store, key: store.upload(key, [b"1"])),
    "list": ("blobs/read", lambda store, key: list(store.list(key))),
    "delete": ("blobs/delete", lambda store, key: store.delete([key])),
    "copy": ("blobs/read on the source and .*blobs/write", lambda store, key: store.copy(key, f"{key}-copy")),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_refusal_names_the_action_that_is_missing(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str, operation: str
) -> None:
    action, run = OPERATIONS[operation]
    azure_proxy.add(Rule(status=403, code="AuthorizationPermissionMismatch"))
    with pytest.raises(AccessDeniedError, match=f"Grant Microsoft.Storage/.*{action}"):
        run(proxied, f"{folder}/x")
    assert len(azure_proxy.log) == 1


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "rule", [{"status": 503, "code": "ServerBusy"}, {"status": 429}, {"status": 500}, {"drop": "before"}]
)
def test_a_server_that_keeps_failing_is_unavailable(
    impatient: AzureStore, azure_proxy: FaultProxy, folder: str, operation: str, rule: dict[str, Any]
) -> None:
    azure_proxy.add(Rule(times=None, **rule))
    with pytest.raises(StoreUnavailableError) as caught:
        OPERATIONS[operation][1](impatient, f"{folder}/x")
    assert type(caught.value) is StoreUnavailableError
    assert len(azure_proxy.log) in (2, 4)  # aiohttp sends again once more, by itself, when a connection drops


def test_the_timeouts_of_the_filesystem_apply(
    azure_server: Azurite, azure_proxy: FaultProxy, folder: str
) -> None:
    azure_proxy.add(Rule(hang=True, times=None))
    with open_filesystem(azure_server.connection_string(azure_proxy.endpoint), read_timeout=1) as filesystem:
        for operation in ("read", "create", "list"):
            started = time.monotonic()
            with pytest.raises(StoreUnavailableError, match="no answer"):
                OPERATIONS[operation][1](AzureStore(filesystem, patience=Patience(tries=1)), f"{folder}/x")
            assert time.monotonic() - started < 3


@pytest.mark.parametrize("operation", ["read", "create"])
def test_a_storm_of_503s_is_over_in_ten_seconds(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str, operation: str
) -> None:
    azure_proxy.add(Rule(status=503, code="ServerBusy", times=None))
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="ServerBusy 503"):
        OPERATIONS[operation][1](proxied, f"{folder}/x")
    assert 2.9 < time.monotonic() - started < 10
    assert len(azure_proxy.log) == 5


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


def test_a_404_that_is_not_azures_proves_nothing(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str
) -> None:
    azure_proxy.add(Rule(status=404, code="", times=None))
    for operation in ("read", "download", "list"):
        with pytest.raises(StoreUnavailableError, match="404"):
            OPERATIONS[operation][1](proxied, f"{folder}/x")


def test_a_download_that_is_cut_is_completed_or_unavailable_but_never_damaged(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str
) -> None:
    proxied.upload(f"{folder}/x", [bytes(MIB)])
    azure_proxy.add(Rule(method="GET", cut=MIB // 2))
    assert b"".join(proxied.download(f"{folder}/x", 0, MIB)) == bytes(MIB)
    azure_proxy.add(Rule(method="GET", cut=MIB // 2, times=None))
    with pytest.raises(StoreUnavailableError):
        b"".join(proxied.download(f"{folder}/x", 0, MIB))


def test_a_bit_flipped_on_the_way_is_left_to_the_digests_of_the_manifest(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str
) -> None:
    proxied.upload(f"{folder}/x", [b"1234"])
    azure_proxy.add(Rule(method="GET", corrupt=True))
    assert b"".join(proxied.download(f"{folder}/x", 1, 2)) == b"33"
    assert b"".join(proxied.download(f"{folder}/x", 1, 2)) == b"23"


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


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_container_that_does_not_exist_is_never_an_absent_object(store: AzureStore, operation: str) -> None:
    with pytest.raises(InvalidArgumentError, match="container does not exist"):
        OPERATIONS[operation][1](store, "no-such-container/x")


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
        for _, run in OPERATIONS.values():
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
        ("ServerBusy", 503, StoreUnavailableError),
        ("", 0, StoreUnavailableError),
    ],
)
def test_error_codes_have_one_meaning(code: str, status: int, expected: type[CkptptrError]) -> None:
    assert type(refusal(code, status, "download_blob", "abfs://c/x")) is expected
