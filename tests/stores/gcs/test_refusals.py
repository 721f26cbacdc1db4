"""What GCSStore makes of being refused: by permissions, by missing buckets, by its own credentials."""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

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
from ckptptr.stores.gcs.errors import words_in
from ckptptr.stores.gcs.store import GCSStore
from ckptptr.stores.gcs.upload import CHUNK
from ckptptr.stores.gcs.words import CONTINUE, refusal
from ckptptr.stores.port import UnsupportedError, UploadGoneError
from ckptptr.stores.room import ROOM
from tests.servers.gcs import MiniGCS, open_filesystem, refused
from tests.servers.proxy import FaultProxy

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("gcs_server")]


def test_a_copy_to_a_bucket_that_does_not_exist_says_so(store: GCSStore, folder: str) -> None:
    store.create(f"{folder}/x", b"1")
    with pytest.raises(InvalidArgumentError, match=r"bucket does not exist: gs://no-such-bucket-here"):
        store.copy(f"{folder}/x", "no-such-bucket-here/x")


def test_without_the_right_to_look_absence_is_not_proven(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(refused(403, "forbidden", path="maxResults"))
    with pytest.raises(AccessDeniedError, match=r"storage\.objects\.list"):
        proxied.read(f"{folder}/x")


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (400, "invalid", UnsupportedError),
        (501, "", UnsupportedError),
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
    assert type(refusal(reason, status, "read", "gs://b/x")) is expected


@pytest.mark.parametrize(
    ("operation", "expected"),
    [("create", InvalidArgumentError), ("list", InvalidArgumentError), (CONTINUE, UploadGoneError)],
)
def test_a_404_can_only_be_about_what_was_asked_for(operation: str, expected: type[CkptptrError]) -> None:
    assert type(refusal("notFound", 404, operation, "gs://b/x")) is expected


@pytest.mark.parametrize("body", [b"", b"Not Found", b"[]", b'{"error": "no"}', b'{"error": {"errors": []}}'])
def test_an_answer_without_a_reason_has_none(body: bytes) -> None:
    assert words_in(body)[0] == ""


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


def test_uploads_whose_token_could_not_be_renewed_leave_room_for_others(
    gcs_server: MiniGCS, folder: str
) -> None:
    with open_filesystem(gcs_server.endpoint, token=Renewable()) as filesystem:
        store = GCSStore(filesystem)
        credentials = filesystem.credentials.credentials

        def blocks() -> Iterator[bytes]:
            yield from (bytes(CHUNK), bytes(CHUNK))
            credentials.expiry, credentials.error = datetime(2000, 1, 1), unreachable()

        with pytest.raises(StoreUnavailableError, match="did not answer"):
            store.upload(f"{folder}/x", blocks())
    assert store._client.line.under_way == 0
    assert store._room._free == ROOM
