"""GCSStore when the network, the server or the credentials fail: a small server behind a faulty proxy."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.auth.exceptions import RefreshError, TransportError
from google.oauth2.credentials import Credentials

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores._gcs_client import Patience
from ckptptr.stores._gcs_errors import CONTINUE, reason_in, refusal
from ckptptr.stores.gcs import GCSStore
from ckptptr.stores.port import Store, Token
from tests.servers.gcs import MiniGCS, open_filesystem, refused
from tests.servers.proxy import FaultProxy, Rule
from tests.stores.gcs.conftest import BLOCK

pytestmark = pytest.mark.servers


# Lost replies and failing servers


def test_a_create_whose_reply_is_lost_has_landed(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(Rule(method="POST", drop="after"))
    with pytest.raises(ConflictError):
        proxied.create(f"{folder}/x", b"1")
    assert proxied.read(f"{folder}/x")[0] == b"1"


def test_a_replace_whose_reply_is_lost_has_landed(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    token = proxied.create(f"{folder}/x", b"1")
    gcs_proxy.add(Rule(method="POST", drop="after"))
    with pytest.raises(ConflictError):
        proxied.replace(f"{folder}/x", b"2", token)
    assert proxied.read(f"{folder}/x")[0] == b"2"


def test_a_connection_cut_before_the_server_heard_is_made_good(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(Rule(drop="before"))
    proxied.create(f"{folder}/x", b"1")
    assert [seen.status for seen in gcs_proxy.log] == [0, 200]


OPERATIONS: dict[str, tuple[str, Callable[[Store, str], object]]] = {
    "read": ("storage.objects.get", lambda store, key: store.read(key)),
    "download": ("storage.objects.get", lambda store, key: store.download(key, 0, 1)),
    "create": ("storage.objects.create", lambda store, key: store.create(key, b"1")),
    "replace": ("storage.objects.delete", lambda store, key: store.replace(key, b"1", Token("1"))),
    "upload": ("storage.objects.create", lambda store, key: store.upload(key, [b"1"])),
    "large upload": ("storage.objects.create", lambda store, key: store.upload(key, [bytes(BLOCK)] * 2)),
    "list": ("storage.objects.list", lambda store, key: list(store.list(key))),
    "delete": ("storage.objects.delete", lambda store, key: store.delete([key])),
    "copy": ("storage.objects.get", lambda store, key: store.copy(key, f"{key}-copy")),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_refusal_names_the_permission_that_is_missing(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str, operation: str
) -> None:
    permission, run = OPERATIONS[operation]
    gcs_proxy.add(refused(403, "forbidden"))
    with pytest.raises(AccessDeniedError, match=permission):
        run(proxied, f"{folder}/x")
    assert len(gcs_proxy.log) == 1


def test_a_refused_read_says_that_the_object_may_just_be_missing(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(refused(403, "forbidden"))
    with pytest.raises(AccessDeniedError, match=r"Without storage\.objects\.list"):
        proxied.read(f"{folder}/x")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "rule", [{"status": 503}, {"status": 429}, {"status": 500}, {"drop": "before"}, {"hang": True}]
)
def test_a_server_that_keeps_failing_is_unavailable(
    impatient: GCSStore, gcs_proxy: FaultProxy, folder: str, operation: str, rule: dict[str, Any]
) -> None:
    gcs_proxy.add(Rule(times=None, **rule))
    with pytest.raises(StoreUnavailableError) as caught:
        OPERATIONS[operation][1](impatient, f"{folder}/x")
    assert type(caught.value) is StoreUnavailableError
    assert len(gcs_proxy.log) in (2, 4)  # aiohttp sends again once more, by itself, when a connection drops


@pytest.mark.parametrize("operation", ["create", "list"])
def test_a_storm_of_503s_is_over_in_eight_seconds(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str, operation: str
) -> None:
    gcs_proxy.add(refused(503, "backendError", times=None))
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="503 backendError"):
        OPERATIONS[operation][1](proxied, f"{folder}/x")
    assert len(gcs_proxy.log) == 5
    assert 3 < time.monotonic() - begun < 9


def test_a_server_that_never_answers_costs_two_waits(gcs_proxied: Any, gcs_proxy: FaultProxy) -> None:
    gcs_proxy.add(Rule(hang=True, times=None))
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="no answer to read"):
        GCSStore(gcs_proxied, patience=Patience(answer=1.0, at_most=1.9)).read("b/x")
    assert 2 < time.monotonic() - begun < 4


def test_two_503s_are_made_good(proxied: GCSStore, gcs_proxy: FaultProxy, folder: str) -> None:
    gcs_proxy.add(refused(503, "backendError", times=2))
    proxied.create(f"{folder}/x", b"1")
    assert [seen.status for seen in gcs_proxy.log] == [503, 503, 200]


@pytest.mark.parametrize(
    ("asked", "least", "most"), [("2", 2.0, 3.0), ("3600", 5.0, 6.0), ("soon", 0.2, 1.5)]
)
def test_the_server_may_ask_for_a_longer_wait_within_bounds(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str, asked: str, least: float, most: float
) -> None:
    gcs_proxy.add(refused(429, "rateLimitExceeded", answer={"Retry-After": asked}))
    begun = time.monotonic()
    proxied.create(f"{folder}/x", b"1")
    assert least <= time.monotonic() - begun < most


def test_some_limits_are_answered_with_403_and_waited_for_too(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(refused(403, "userRateLimitExceeded"))
    proxied.create(f"{folder}/x", b"1")
    assert [seen.status for seen in gcs_proxy.log] == [403, 200]


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with (
        open_filesystem("http://127.0.0.1:1") as filesystem,
        pytest.raises(StoreUnavailableError, match="no answer"),
    ):
        GCSStore(filesystem, patience=Patience(tries=2, wait=0.01)).read("bucket/x")


@pytest.mark.parametrize("operation", ["read", "create", "upload", "list", "copy"])
@pytest.mark.parametrize("body", ["<html>Log in to this network</html>", "[]", "{}"])
def test_an_answer_of_something_else_is_no_answer(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str, operation: str, body: str
) -> None:
    gcs_proxy.add(Rule(status=200, body=body, times=None))
    with pytest.raises(StoreUnavailableError):
        OPERATIONS[operation][1](proxied, f"{folder}/x")


# Bytes that get lost or changed


def test_a_download_that_is_cut_is_made_good(proxied: GCSStore, gcs_proxy: FaultProxy, folder: str) -> None:
    body = bytes(4 * BLOCK)
    proxied.upload(f"{folder}/x", [body])
    gcs_proxy.add(Rule(method="GET", cut=BLOCK))
    assert proxied.download(f"{folder}/x", 0, len(body)) == body
    assert [seen.method for seen in gcs_proxy.log] == ["POST", "GET", "GET"]


def test_a_download_that_is_always_cut_is_unavailable_and_not_damaged(
    impatient: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    impatient.upload(f"{folder}/x", [bytes(4 * BLOCK)])
    gcs_proxy.add(Rule(method="GET", cut=BLOCK, times=None))
    with pytest.raises(StoreUnavailableError):
        impatient.download(f"{folder}/x", 0, 4 * BLOCK)


def test_a_bit_flipped_in_a_whole_object_is_noticed_and_read_again(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    proxied.create(f"{folder}/x", b"1234")
    gcs_proxy.add(Rule(method="GET", corrupt=True))
    assert proxied.read(f"{folder}/x")[0] == b"1234"


def test_a_bit_flipped_in_a_range_is_left_to_the_digests_of_the_manifest(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    proxied.upload(f"{folder}/x", [b"1234"])
    gcs_proxy.add(Rule(method="GET", corrupt=True))
    assert proxied.download(f"{folder}/x", 1, 2) == b"33"
    assert proxied.download(f"{folder}/x", 1, 2) == b"23"


def test_an_object_that_has_no_ranges_says_why(proxied: GCSStore, gcs_proxy: FaultProxy, folder: str) -> None:
    gcs_proxy.add(Rule(status=200, body="all of it"))
    with pytest.raises(DamagedError, match="Content-Encoding: gzip"):
        proxied.download(f"{folder}/x", 0, 1)


@pytest.mark.parametrize("blocks", [[bytes(BLOCK)], [bytes(BLOCK)] * 3])
def test_the_store_refuses_an_upload_that_changed_on_the_way(
    impatient: GCSStore, gcs_proxy: FaultProxy, folder: str, blocks: list[bytes]
) -> None:
    method = "POST" if len(blocks) == 1 else "PUT"
    gcs_proxy.add(Rule(method=method, garble=BLOCK // 2))
    with pytest.raises(StoreUnavailableError, match="400 invalid"):
        impatient.upload(f"{folder}/x", blocks)
    assert [*impatient.list(folder)] == []


@pytest.mark.parametrize("blocks", [[bytes(BLOCK)], [bytes(BLOCK)] * 3])
def test_what_a_store_took_without_comparing_is_taken_back(
    store: GCSStore, folder: str, blocks: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    check = store._check

    def compare_with_another(key: str, answer: Any, size: int, _: str) -> None:
        check(key, answer, size, "AAAAAA==")

    monkeypatch.setattr(store, "_check", compare_with_another)
    with pytest.raises(StoreUnavailableError, match="other bytes"):
        store.upload(f"{folder}/x", blocks)
    assert [*store.list(folder)] == []


# A large upload that is disturbed


def body_of(block: int) -> list[bytes]:
    return [bytes([number + 1]) * block for number in range(3)] + [b"end"]


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize(
    "rule", [{"status": 503}, {"drop": "before"}, {"drop": "after"}], ids=["503", "unheard", "lost reply"]
)
def test_an_upload_goes_on_after_a_failure_at_any_block(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str, number: int, rule: dict[str, Any]
) -> None:
    gcs_proxy.add(Rule(method="PUT", skip=number, **rule))
    proxied.upload(f"{folder}/x", body_of(BLOCK))
    assert proxied.read(f"{folder}/x")[0] == b"".join(body_of(BLOCK))


def test_a_block_that_arrived_is_not_sent_again(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(Rule(method="PUT", skip=1, drop="after"))
    proxied.upload(f"{folder}/x", body_of(BLOCK))
    sent = sum(seen.received for seen in gcs_proxy.log)
    assert 3 * BLOCK < sent < 4 * BLOCK + 10_000


def test_an_upload_ends_early_when_a_block_fails(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(refused(403, "forbidden", method="PUT"))
    fed = []

    def blocks() -> Any:
        for number in range(60):
            fed.append(number)
            yield bytes(BLOCK)

    with pytest.raises(AccessDeniedError, match=r"storage\.objects\.create"):
        proxied.upload(f"{folder}/x", blocks())
    assert len(fed) <= 4
    assert [*proxied.list(folder)] == []


def test_a_session_that_the_store_has_forgotten_is_unavailable_and_not_absent(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(refused(404, "notFound", method="PUT"))
    with pytest.raises(StoreUnavailableError, match="forgotten the upload"):
        proxied.upload(f"{folder}/x", body_of(BLOCK))


# The bucket and the credentials


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name != "replace"])
def test_a_bucket_that_does_not_exist_is_never_an_absent_object(store: GCSStore, operation: str) -> None:
    with pytest.raises(InvalidArgumentError, match="bucket does not exist"):
        OPERATIONS[operation][1](store, "no-such-bucket-here/x")


def test_a_copy_to_a_bucket_that_does_not_exist_says_so(store: GCSStore, folder: str) -> None:
    store.create(f"{folder}/x", b"1")
    with pytest.raises(InvalidArgumentError, match=r"bucket does not exist: gs://no-such-bucket-here"):
        store.copy(f"{folder}/x", "no-such-bucket-here/x")


def test_without_the_right_to_look_absence_is_not_proven(
    proxied: GCSStore, gcs_proxy: FaultProxy, gcs_server: MiniGCS, folder: str
) -> None:
    gcs_proxy.add(refused(403, "forbidden", path="maxResults"))
    with pytest.raises(AccessDeniedError, match=r"storage\.objects\.list"):
        proxied.read(f"{folder}/x")


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (400, "invalid", StoreUnavailableError),
        (401, "required", AccessDeniedError),
        (401, "authError", AccessDeniedError),
        (403, "forbidden", AccessDeniedError),
        (403, "", AccessDeniedError),
        (403, "quotaExceeded", StoreUnavailableError),
        (403, "rateLimitExceeded", StoreUnavailableError),
        (403, "retentionPolicyNotMet", AccessDeniedError),
        (403, "objectUnderActiveHold", AccessDeniedError),
        (404, "notFound", NotFoundError),
        (404, "", NotFoundError),
        (409, "conflict", StoreUnavailableError),
        (412, "conditionNotMet", ConflictError),
        (413, "uploadTooLarge", InvalidArgumentError),
        (416, "requestedRangeNotSatisfiable", DamagedError),
        (302, "", StoreUnavailableError),
        (500, "internalError", StoreUnavailableError),
    ],
)
def test_error_codes_have_one_meaning(status: int, reason: str, expected: type[CkptptrError]) -> None:
    assert type(refusal("read", status, reason, "gs://b/x")) is expected


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("create", InvalidArgumentError), ("list", InvalidArgumentError), (CONTINUE, StoreUnavailableError)],
)
def test_a_404_can_only_be_about_what_was_asked_for(operation: str, expected: type[CkptptrError]) -> None:
    assert type(refusal(operation, 404, "notFound", "gs://b/x")) is expected


@pytest.mark.parametrize("body", [b"", b"Not Found", b"[]", b'{"error": "no"}', b'{"error": {"errors": []}}'])
def test_an_answer_without_a_reason_has_none(body: bytes) -> None:
    assert reason_in(body) == ""


class Renewable(Credentials):
    """Credentials whose token is missing until it is renewed."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(None)  # type: ignore[no-untyped-call]
        self.error = error
        self.renewals: list[str] = []

    def refresh(self, _: object) -> None:
        self.renewals.append(threading.current_thread().name)
        time.sleep(0.2)
        if self.error:
            raise self.error
        self.token = uuid.uuid4().hex


def test_a_token_is_renewed_once_for_all_threads_and_not_on_the_event_loop(
    gcs_server: MiniGCS, folder: str
) -> None:
    credentials = Renewable()
    with open_filesystem(gcs_server.endpoint, token=credentials) as filesystem:
        store = GCSStore(filesystem)
        with ThreadPoolExecutor(4, thread_name_prefix="mine") as pool:
            list(pool.map(lambda number: store.create(f"{folder}/{number}", b"1"), range(4)))
    assert len(credentials.renewals) == 1
    assert re.match("mine", credentials.renewals[0])


def unreachable() -> RefreshError:
    error = RefreshError("metadata.google.internal: no route")  # type: ignore[no-untyped-call]
    error.__cause__ = TransportError("no route")  # type: ignore[no-untyped-call]
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RefreshError("invalid_grant: a-secret"), AccessDeniedError),  # type: ignore[no-untyped-call]
        (RefreshError("busy", retryable=True), StoreUnavailableError),  # type: ignore[no-untyped-call]
        (TransportError("no route"), StoreUnavailableError),  # type: ignore[no-untyped-call]
        (unreachable(), StoreUnavailableError),
    ],
)
def test_credentials_that_cannot_be_renewed(
    gcs_server: MiniGCS, error: Exception, expected: type[CkptptrError]
) -> None:
    with open_filesystem(gcs_server.endpoint, token=Renewable(error)) as filesystem:
        with pytest.raises(StoreUnavailableError) as caught:
            GCSStore(filesystem).read("b/x")
        assert type(caught.value) is expected
        assert "secret" not in str(caught.value)
