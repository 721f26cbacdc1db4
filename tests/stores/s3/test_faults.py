"""S3Store when the network, the server or the credentials fail: SeaweedFS behind a faulty proxy."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores.port import Entry, Store, Token
from ckptptr.stores.s3.errors import refusal, translated
from ckptptr.stores.s3.store import S3Store
from tests.servers.proxy import FaultProxy, Rule
from tests.servers.s3 import open_filesystem
from tests.servers.seaweed import Seaweed

pytestmark = pytest.mark.servers

MIB = 1024 * 1024
PART = 5 * MIB


# Lost replies and failing servers


def test_a_create_whose_reply_is_lost_has_landed(proxied: S3Store, s3_proxy: FaultProxy, folder: str) -> None:
    s3_proxy.add(Rule(method="PUT", drop="after"))
    with pytest.raises((ConflictError, StoreUnavailableError)):
        proxied.create(f"{folder}/x", b"1")
    assert proxied.read(f"{folder}/x")[0] == b"1"


def test_a_replace_whose_reply_is_lost_has_landed(
    proxied: S3Store, s3_proxy: FaultProxy, folder: str
) -> None:
    token = proxied.create(f"{folder}/x", b"1")
    s3_proxy.add(Rule(method="PUT", drop="after"))
    with pytest.raises((ConflictError, StoreUnavailableError)):
        proxied.replace(f"{folder}/x", b"2", token)
    assert proxied.read(f"{folder}/x")[0] == b"2"


def test_a_connection_cut_before_the_server_heard_is_made_good_by_the_sdk(
    proxied: S3Store, s3_proxy: FaultProxy, folder: str
) -> None:
    s3_proxy.add(Rule(drop="before"))
    proxied.create(f"{folder}/x", b"1")
    assert [seen.status for seen in s3_proxy.log] == [0, 200]


@pytest.mark.parametrize("status", [409, 412])
def test_a_refused_condition_is_a_conflict_even_if_nothing_is_there(
    proxied: S3Store, s3_proxy: FaultProxy, folder: str, status: int
) -> None:
    s3_proxy.add(Rule(method="PUT", status=status, code="ConditionalRequestConflict"))
    with pytest.raises(ConflictError):
        proxied.create(f"{folder}/x", b"1")


OPERATIONS: dict[str, tuple[str, Callable[[Store, str], object]]] = {
    "read": ("s3:GetObject", lambda store, key: store.read(key)),
    "download": ("s3:GetObject", lambda store, key: b"".join(store.download(key, 0, 1))),
    "create": ("s3:PutObject", lambda store, key: store.create(key, b"1")),
    "replace": ("s3:PutObject", lambda store, key: store.replace(key, b"1", Token('"0"'))),
    "upload": ("s3:PutObject", lambda store, key: store.upload(key, [b"1"])),
    "list": ("s3:ListBucket", lambda store, key: list(store.list(key))),
    "delete": ("s3:DeleteObject", lambda store, key: store.delete([key])),
    "copy": ("s3:GetObject", lambda store, key: store.copy(key, f"{key}-copy")),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_refusal_names_the_permission_that_is_missing(
    proxied: S3Store, s3_proxy: FaultProxy, folder: str, operation: str
) -> None:
    action, run = OPERATIONS[operation]
    s3_proxy.add(Rule(status=403, code="AccessDenied"))
    with pytest.raises(AccessDeniedError, match=action):
        run(proxied, f"{folder}/x")
    assert len(s3_proxy.log) == 1


def test_a_refused_read_says_that_the_object_may_just_be_missing(
    proxied: S3Store, s3_proxy: FaultProxy, folder: str
) -> None:
    s3_proxy.add(Rule(status=403, code="AccessDenied"))
    with pytest.raises(AccessDeniedError, match="Without s3:ListBucket"):
        proxied.read(f"{folder}/x")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "rule", [{"status": 503, "code": "SlowDown"}, {"status": 500}, {"drop": "before"}, {"hang": True}]
)
def test_a_server_that_keeps_failing_is_unavailable(
    impatient: S3Store, s3_proxy: FaultProxy, folder: str, operation: str, rule: dict[str, Any]
) -> None:
    s3_proxy.add(Rule(times=None, **rule))
    with pytest.raises(StoreUnavailableError) as caught:
        OPERATIONS[operation][1](impatient, f"{folder}/x")
    assert type(caught.value) is StoreUnavailableError
    assert len(s3_proxy.log) in (2, 4)  # aiohttp sends again once more, by itself, when a connection drops


def test_a_storm_of_503s_is_over_in_a_minute(proxied: S3Store, s3_proxy: FaultProxy, folder: str) -> None:
    s3_proxy.add(Rule(status=503, code="SlowDown", times=None))
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="SlowDown 503"):
        proxied.read(f"{folder}/x")
    assert len(s3_proxy.log) == 5
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(("status", "code"), [(503, "SlowDown"), (429, "TooManyRequests")])
def test_being_asked_twice_to_slow_down_is_made_good_by_the_sdk(
    proxied: S3Store, s3_proxy: FaultProxy, folder: str, status: int, code: str
) -> None:
    s3_proxy.add(Rule(status=status, code=code, times=2, answer={"Retry-After": "1"}))
    proxied.create(f"{folder}/x", b"1")
    assert [seen.status for seen in s3_proxy.log] == [status, status, 200]


def test_a_server_that_is_not_there_is_unavailable(s3_server: Seaweed) -> None:
    with (
        open_filesystem(
            s3_server, "http://127.0.0.1:1", config_kwargs={"retries": {"max_attempts": 1}}
        ) as filesystem,
        pytest.raises(StoreUnavailableError, match="no answer"),
    ):
        S3Store(filesystem).read("bucket/x")


def test_a_download_that_is_cut_is_unavailable_and_not_damaged(
    proxied: S3Store, s3_proxy: FaultProxy, folder: str
) -> None:
    proxied.upload(f"{folder}/x", [bytes(MIB)])
    s3_proxy.add(Rule(method="GET", cut=MIB // 2))
    with pytest.raises(StoreUnavailableError):
        b"".join(proxied.download(f"{folder}/x", 0, MIB))
    assert b"".join(proxied.download(f"{folder}/x", 0, MIB)) == bytes(MIB)


def test_a_bit_flipped_on_the_way_is_left_to_the_digests_of_the_manifest(
    proxied: S3Store, s3_proxy: FaultProxy, folder: str
) -> None:
    proxied.upload(f"{folder}/x", [b"1234"])
    s3_proxy.add(Rule(method="GET", corrupt=True))
    assert b"".join(proxied.download(f"{folder}/x", 1, 2)) == b"33"
    assert b"".join(proxied.download(f"{folder}/x", 1, 2)) == b"23"


def test_a_part_whose_reply_is_lost_is_sent_again(
    proxied: S3Store, s3_proxy: FaultProxy, folder: str
) -> None:
    s3_proxy.add(Rule(method="PUT", path=r"partNumber=2\b", drop="after"))
    proxied.upload(f"{folder}/x", [b"a" * PART, b"b" * PART, b"c"])
    assert sum(re.search(r"partNumber=2\b", seen.path) is not None for seen in s3_proxy.log) == 2
    assert b"".join(proxied.download(f"{folder}/x", PART - 1, 2)) == b"ab"
    assert [*proxied.list(folder)] == [Entry(f"{folder}/x", 2 * PART + 1)]


def test_objects_that_could_not_be_deleted_are_reported(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*_: object, **__: object) -> dict[str, Any]:
        return {"Errors": [{"Key": "gone", "Code": "NoSuchKey"}, {"Key": "kept", "Code": "AccessDenied"}]}

    monkeypatch.setattr(store._client, "call", call)
    with pytest.raises(AccessDeniedError, match=r"s3://b/kept.*s3:DeleteObject"):
        store.delete(["b/gone", "b/kept"])


# The bucket and the credentials


@pytest.mark.parametrize("operation", ["read", "download", "list", "copy", "delete"])
def test_a_bucket_that_does_not_exist_is_never_an_absent_object(store: S3Store, operation: str) -> None:
    with pytest.raises(InvalidArgumentError, match="bucket does not exist"):
        OPERATIONS[operation][1](store, "no-such-bucket-here/x")


def test_a_wrong_secret_is_denied_and_never_shown(s3_server: Seaweed, folder: str) -> None:
    wrong = Seaweed()
    wrong.access_key = s3_server.access_key
    with open_filesystem(wrong, s3_server.endpoint) as filesystem:
        with pytest.raises(AccessDeniedError, match="secret key is wrong") as caught:
            S3Store(filesystem).read(f"{folder}/x")
        assert wrong.secret_key not in str(caught.value)
        assert wrong.access_key not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("PreconditionFailed", 412, ConflictError),
        ("Anything", 412, ConflictError),
        ("ConditionalRequestConflict", 409, ConflictError),
        ("NoSuchKey", 404, NotFoundError),
        ("404", 404, StoreUnavailableError),  # said by something in between
        ("NoSuchBucket", 404, InvalidArgumentError),
        ("NoSuchUpload", 404, StoreUnavailableError),
        ("InvalidRange", 416, DamagedError),
        ("ExpiredToken", 400, AccessDeniedError),
        ("RequestTimeTooSkewed", 403, AccessDeniedError),
        ("403", 403, AccessDeniedError),
        ("401", 401, AccessDeniedError),
        ("PermanentRedirect", 301, InvalidArgumentError),
        ("KeyTooLongError", 400, InvalidArgumentError),
        ("InternalError", 500, StoreUnavailableError),
        ("BadDigest", 400, StoreUnavailableError),
        ("", 0, StoreUnavailableError),
    ],
)
def test_error_codes_have_one_meaning(code: str, status: int, expected: type[CkptptrError]) -> None:
    assert type(refusal(code, status, "get_object", "s3://b/x")) is expected


def test_missing_credentials_are_denied() -> None:
    with (
        pytest.raises(AccessDeniedError, match="no usable AWS credentials"),
        translated("get_object", "s3://b/x"),
    ):
        raise NoCredentialsError


def test_an_sdk_too_old_for_conditions_fails_instead_of_ignoring_them(store: S3Store, folder: str) -> None:
    with pytest.raises(InvalidArgumentError, match="botocore does not take this request"):
        store._client.call("put_object", f"{folder}/x", Body=b"1", IfInventedLater="*")
    assert [*store.list(folder)] == []
