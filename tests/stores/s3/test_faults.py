"""S3Store when the network, the server or the credentials fail: SeaweedFS behind a faulty proxy."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores.port import UnsupportedError
from ckptptr.stores.s3.errors import translated
from ckptptr.stores.s3.store import S3Store
from ckptptr.stores.s3.words import refusal
from ckptptr.testing import FaultConformance
from tests.servers.proxy import FaultProxy, Rule
from tests.servers.s3 import open_filesystem
from tests.servers.seaweed import Seaweed
from tests.stores import dialects

pytestmark = pytest.mark.servers

MIB = 1024 * 1024
PART = 5 * MIB


class TestS3StoreWithFaults(FaultConformance):
    dialect = dialects.S3
    makes_buckets = True  # SeaweedFS does

    @pytest.fixture
    def network(self, s3_proxy: FaultProxy) -> FaultProxy:
        return s3_proxy

    @pytest.fixture
    def store(self, proxied: S3Store) -> S3Store:
        return proxied

    @pytest.fixture
    def impatient(self, impatient: S3Store) -> S3Store:
        return impatient

    @pytest.fixture
    def folder(self, folder: str) -> str:
        return folder


# Lost replies and failing servers


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


def test_objects_that_could_not_be_deleted_are_reported(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(*_: object, **__: object) -> dict[str, Any]:
        return {"Errors": [{"Key": "gone", "Code": "NoSuchKey"}, {"Key": "kept", "Code": "AccessDenied"}]}

    monkeypatch.setattr(store._client, "call", call)
    with pytest.raises(AccessDeniedError, match=r"s3://b/kept.*s3:DeleteObject"):
        store.delete(["b/gone", "b/kept"])


# The bucket and the credentials


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
        ("NotImplemented", 501, UnsupportedError),
        ("MethodNotAllowed", 405, UnsupportedError),
        ("InvalidArgument", 400, UnsupportedError),
        ("", 0, StoreUnavailableError),
    ],
)
def test_error_codes_have_one_meaning(code: str, status: int, expected: type[CkptptrError]) -> None:
    assert type(refusal(code, status, "get_object", "s3://b/x")) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.NoCredentialsError(), AccessDeniedError),
        (exceptions.ProfileNotFound(profile="nope"), AccessDeniedError),
        (exceptions.UnauthorizedSSOTokenError(), AccessDeniedError),
        (exceptions.SSOTokenLoadError(error_msg="gone"), AccessDeniedError),
        (getattr(exceptions, "LoginRefreshRequired", exceptions.SSOError)(), AccessDeniedError),
        (exceptions.ConfigParseError(path="config"), AccessDeniedError),
        (exceptions.ConfigNotFound(path="config"), AccessDeniedError),
        (exceptions.InvalidConfigError(error_msg="no source_profile"), AccessDeniedError),
        (exceptions.NoRegionError(), AccessDeniedError),
        (exceptions.CredentialRetrievalError(provider="x", error_msg="late"), StoreUnavailableError),
    ],
)
def test_credentials_that_cannot_be_had_are_told_with_the_cure(
    error: Exception, expected: type[CkptptrError]
) -> None:
    name = type(error).__name__
    with (
        pytest.raises(StoreUnavailableError, match=rf"AWS credentials .*\({name}\).*AWS_PROFILE") as caught,
        translated("get_object", "s3://b/x"),
    ):
        raise error
    assert type(caught.value) is expected


def test_an_sdk_too_old_for_conditions_fails_instead_of_ignoring_them(store: S3Store, folder: str) -> None:
    with pytest.raises(InvalidArgumentError, match="botocore does not take this request"):
        store._client.call("put_object", f"{folder}/x", Body=b"1", IfInventedLater="*")
    assert [*store.list(folder)] == []
