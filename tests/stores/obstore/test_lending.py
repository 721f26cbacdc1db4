"""What is lent and what is not: settings that obstore would not honour keep the lane closed."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import s3fs
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

import ckptptr
from ckptptr.errors import InvalidArgumentError
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.obstore import lending
from ckptptr.stores.obstore.fast import FastLane
from ckptptr.stores.obstore.lend_azure import AzureLender, _provider
from ckptptr.stores.obstore.lend_gcs import GCSLender
from ckptptr.stores.obstore.lend_s3 import S3Lender
from ckptptr.stores.obstore.lending import UnlendableError, answer_in, chosen, reason, unanswered
from ckptptr.stores.obstore.store import ObstoreStore
from ckptptr.stores.open import open_store
from ckptptr.stores.s3.client import S3Client
from ckptptr.stores.s3.store import S3Store
from tests.servers import azurite, gcs, s3
from tests.servers.azurite import Azurite
from tests.servers.moto import Moto
from tests.servers.proxy import FaultProxy
from tests.servers.seaweed import Seaweed

KEYS = {"key": "k", "secret": "s", "endpoint_url": "http://127.0.0.1:9", "skip_instance_cache": True}
METADATA = {"flyte-execution-name": "n1"}


def check_alone(lane: FastLane, key: str) -> None:
    """It uploads and downloads without any help of the adapter, which is another store here."""
    lane.upload(key, [b"123"])
    assert b"".join(lane.download(key, 1, 2)) == b"23"
    assert lane.engine(key).startswith("obstore")
    assert lane._failures == 0


# The switch


@pytest.mark.parametrize(
    ("value", "engine"), [("", "auto"), ("auto", "auto"), (" FSSPEC ", "fsspec"), ("obstore", "obstore")]
)
def test_the_engine_is_chosen_by_the_environment(
    value: str, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPTPTR_ENGINE", value)
    assert chosen() == engine


def test_an_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPTPTR_ENGINE", "boto")
    with pytest.raises(InvalidArgumentError, match="one of auto, fsspec, obstore"):
        open_store("s3://bucket/x", storage_options=KEYS)


def test_obstore_is_not_needed_but_missed_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "find_spec", lambda _: None)
    monkeypatch.setenv("CKPTPTR_ENGINE", "auto")
    assert (chosen(), reason()) == ("fsspec", "obstore is not installed")
    monkeypatch.setenv("CKPTPTR_ENGINE", "obstore")
    with pytest.raises(InvalidArgumentError, match=r"pip install 'ckptptr\[fast\]'"):
        chosen()


@pytest.mark.parametrize(("engine", "kind"), [("auto", FastLane), ("fsspec", S3Store)])
def test_a_store_is_opened_on_the_engine_chosen(
    engine: str, kind: type, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CKPTPTR_ENGINE", engine)
    with caplog.at_level(logging.INFO, "ckptptr"):
        assert isinstance(open_store("s3://bucket/x", storage_options=KEYS)[0], kind)
    why = "CKPTPTR_ENGINE is fsspec; blocks of 16.0 MiB, at most 8 at once"
    said = {S3Store: [f"s3fs moves payload to and from s3://bucket: {why}"], FastLane: []}
    assert [record.getMessage() for record in caplog.records] == said[kind]


# S3


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """Filesystems that are closed at the end."""
    found: list[Any] = []
    yield found
    for filesystem in found:
        if filesystem._s3 is not None:
            s3.sync(filesystem.loop, filesystem.s3.close)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"anon": True}, "anonymous"),
        ({"requester_pays": True}, "the requester pays"),
        ({"s3_additional_kwargs": {"ServerSideEncryption": "aws:kms"}}, "s3_additional_kwargs"),
        ({"config_kwargs": {"proxies": {"http": "http://proxy"}}}, "config_kwargs has proxies"),
        ({"config_kwargs": {"s3": {"addressing_style": "virtual"}}}, "config_kwargs has s3"),
        ({"client_kwargs": {"verify": False}}, "client_kwargs has verify"),
        ({"endpoint_url": "ftp://host"}, "no HTTP URL|ValueError"),
    ],
)
def test_s3_settings_that_obstore_does_not_share(
    opened: list[Any], options: dict[str, Any], reason: str
) -> None:
    opened.append(s3fs.S3FileSystem(**{**KEYS, **options}))
    with pytest.raises(UnlendableError, match=reason):
        S3Lender(opened[0]).client("bucket")


@pytest.mark.parametrize(
    ("name", "value", "endpoint", "reason"),
    [
        ("AWS_CA_BUNDLE", "/ca.pem", "https://127.0.0.1:9", "other authorities"),
        ("AWS_SSE_KMS_KEY_ID", "key", "http://127.0.0.1:9", "which s3fs does not read"),
        ("AWS_REQUEST_PAYER", "true", "http://127.0.0.1:9", "which s3fs does not read"),
        ("http_proxy", "http://proxy", "http://127.0.0.1:9", "a proxy|HTTP proxy"),
    ],
)
def test_an_environment_that_only_one_of_them_heeds(
    opened: list[Any], name: str, value: str, endpoint: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    opened.append(s3fs.S3FileSystem(**{**KEYS, "endpoint_url": endpoint}))
    with pytest.raises(UnlendableError, match=reason):
        S3Lender(opened[0]).client("bucket")


@pytest.mark.parametrize("bucket", ["express--use1-az4--x-s3", "point-abc-s3alias"])
def test_s3_buckets_of_other_kinds(opened: list[Any], bucket: str) -> None:
    opened.append(s3fs.S3FileSystem(**KEYS))
    with pytest.raises(UnlendableError, match="general purpose"):
        S3Lender(opened[0]).client(bucket)


def test_s3_credentials_that_are_renewed_are_lent_for_a_while() -> None:
    """Each time that obstore asks it gets what the session has by then."""
    keys = iter("ab")

    class Session:
        async def get_credentials(self) -> Any:
            return self

        async def get_frozen_credentials(self) -> Any:
            return SimpleNamespace(access_key=next(keys), secret_key="s", token="t")

    filesystem = s3fs.S3FileSystem(skip_instance_cache=True)
    filesystem.session = Session()
    lender = S3Lender(filesystem)
    first, second = lender._credentials(), lender._credentials()
    assert (first["access_key_id"], second["access_key_id"]) == ("a", "b")
    left = first["expires_at"] - datetime.now(timezone.utc)
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)


@pytest.mark.servers
def test_s3_credentials_that_end_soon_are_asked_for_again_before_they_do(
    s3_server: Seaweed, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Session:
        """Of a role whose credentials live for three minutes: less than the lease."""

        async def get_credentials(self) -> Any:
            self._expiry_time = datetime.now(timezone.utc) + timedelta(minutes=3)
            return self

        async def get_frozen_credentials(self) -> Any:
            asked.append(self._expiry_time)
            return SimpleNamespace(
                access_key=s3_server.access_key, secret_key=s3_server.secret_key, token=None
            )

    monkeypatch.setenv("CKPTPTR_ENGINE", "obstore")
    with s3.open_filesystem(s3_server, s3_server.endpoint) as filesystem:
        s3.sync(filesystem.loop, filesystem.set_session)
        filesystem.key, filesystem.session = None, Session()
        assert S3Lender(filesystem)._credentials()["expires_at"] == asked[-1]
        with ckptptr.open(f"s3://{s3_bucket}/{uuid.uuid4().hex}", filesystem=filesystem) as checkpoints:
            for step in range(3):
                before = len(asked)
                checkpoints.save(str(step).encode(), step=step)
                assert len(asked) > before
                time.sleep(0.15)  # obstore keeps them for a tenth of a second
            checkpoints.restore(tmp_path)


@pytest.mark.servers
def test_s3_is_reached_with_the_filesystems_own_settings_and_not_the_environments(
    s3_filesystem: Any, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "other",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true",
        "AWS_REGION": "mars-1",
    }.items():
        monkeypatch.setenv(name, value)
    store, key = open_store(
        f"s3://{s3_bucket}/{uuid.uuid4().hex}", filesystem=s3_filesystem, metadata=METADATA
    )
    assert isinstance(store, FastLane)
    check_alone(FastLane(MemoryStore(), store._payload), f"{key}/x")
    head = s3_filesystem.call_s3("head_object", Bucket=s3_bucket, Key=f"{key}/x".partition("/")[2])
    assert head["Metadata"] == METADATA


def test_all_that_is_opened_with_one_filesystem_shares_clients_unless_it_stores_other_metadata(
    s3_server: Seaweed, s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent, lend = [], S3Lender.client

    def client(lender: S3Lender, bucket: str) -> Any:
        lent.append(dict(lender.metadata))
        return lend(lender, bucket)

    monkeypatch.setattr(S3Lender, "client", client)
    folder, job = f"s3://{s3_bucket}/{uuid.uuid4().hex}", {"job": "7"}
    with s3.open_filesystem(s3_server, s3_server.endpoint) as ours:  # no other test has clients of it
        stores = [open_store(folder, filesystem=ours, metadata=each)[0] for each in (None, {}, job, job)]
        for number, store in enumerate(stores):
            store.upload(f"{folder.removeprefix('s3://')}/{number}", [b"x"])
    assert lent == [{}, job]


@pytest.mark.parametrize(
    ("endpoint", "is_known", "is_unsigned"),
    [
        ("https://s3.eu-west-1.amazonaws.com", True, True),
        ("http://s3.eu-west-1.amazonaws.com", True, False),
        ("https://s3.example.com", False, None),
    ],
)
def test_amazon_compares_checksums_and_over_tls_the_payload_is_not_signed_then(
    opened: list[Any],
    endpoint: str,
    is_known: bool,
    is_unsigned: bool | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in lending._OF_THEIR_OWN:
        monkeypatch.delenv(name, raising=False)
    opened.append(s3fs.S3FileSystem(**{**KEYS, "endpoint_url": endpoint}))
    lender = S3Lender(opened[0])
    monkeypatch.setattr(S3Lender, "_refuses_other_bytes", lambda *_: False)
    comparing = lender.comparing("bucket/x")
    assert (lender.compares_parts, comparing is not None) == (is_known, is_known)
    if comparing:
        assert comparing.config["checksum_algorithm"] == "CRC64NVME"
        assert comparing.config["unsigned_payload"] == str(is_unsigned).lower()
    plain = lender.client("bucket").config
    assert ("checksum_algorithm" in plain, plain["unsigned_payload"]) == (False, "false")


def test_what_each_upload_asks_of_the_endpoint_is_found_out_once(
    opened: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.append(s3fs.S3FileSystem(**KEYS))
    lender, asked = S3Lender(opened[0]), []
    monkeypatch.setattr(S3Client, "endpoint", lambda _: asked.append("") or "https://s3.amazonaws.com")
    assert [lender.compares_parts for _ in range(3)] == [True] * 3
    assert len(asked) == 1


@pytest.mark.servers
@pytest.mark.parametrize(("kind", "compares"), [(Seaweed, True), (Moto, False)])
def test_a_server_that_refuses_other_bytes_is_trusted_with_a_checksum(
    kind: type[Seaweed | Moto], compares: bool
) -> None:
    with kind() as server, s3.open_filesystem(server, server.endpoint) as filesystem:
        filesystem.call_s3("create_bucket", Bucket="bucket")
        lender = S3Lender(filesystem)
        assert (lender.comparing("bucket/a/x") is not None) is compares
        assert filesystem.find("bucket") == []
        large = b"0" * (2 << 20)  # of which no MD5 is made
        assert ObstoreStore(lender).upload("bucket/a/x", [large]) is compares


@pytest.mark.servers
def test_that_is_found_out_by_one_request_though_the_sdk_would_try_again(
    s3_proxied: Any, s3_proxy: FaultProxy, s3_bucket: str
) -> None:
    assert S3Lender(s3_proxied).comparing(f"{s3_bucket}/{uuid.uuid4().hex}/x") is not None
    assert [seen.method for seen in s3_proxy.log if ".probe-" in seen.path] == ["PUT"]


_FORK = """
import os, sys
from ckptptr.stores.open import open_store
store, key = open_store(sys.argv[1])
store.upload(key + "/parent", [b"1"])
assert store.engine(key) == "obstore"
pid = os.fork()
if pid == 0:
    try:
        store.upload(key + "/child", [b"2"])
        another, _ = open_store(sys.argv[1])
        another.upload(key + "/another", [b"3"])
    except BaseException:
        os._exit(1)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
store.upload(key + "/parent", [b"4"])
os._exit(0)
"""


@pytest.mark.servers
def test_a_forked_child_goes_on(s3_server: Seaweed, s3_filesystem: Any, s3_bucket: str) -> None:
    folder = f"{s3_bucket}/{uuid.uuid4().hex}"
    environ = {
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_REGION": "us-east-1",
    }
    subprocess.run(
        [sys.executable, "-c", _FORK, f"s3://{folder}"], check=True, timeout=60, env={**os.environ, **environ}
    )
    assert sorted(s3_filesystem.find(folder)) == [
        f"{folder}/{name}" for name in ("another", "child", "parent")
    ]


# Google Cloud Storage


def gcs_filesystem(credentials: Any, endpoint: str = "http://storage.googleapis.com", **more: Any) -> Any:
    found = {"_location": endpoint, "requester_pays": False, "session_kwargs": {}, **more}
    return SimpleNamespace(credentials=SimpleNamespace(credentials=credentials), **found)


class Credentials:
    """As google-auth has them."""

    quota_project_id: str | None = None

    def __init__(self, *, valid: bool = True) -> None:
        self.valid = valid
        self.token = "old"
        self.expiry = datetime(2026, 1, 1)  # without a zone, as google-auth has it

    def refresh(self, _: object) -> None:
        self.valid, self.token = True, "new"


@pytest.mark.parametrize(
    ("filesystem", "forced", "reason"),
    [
        (gcs_filesystem(None, "http://127.0.0.1:9"), False, "not Google's own"),
        (gcs_filesystem(None), True, "anonymous"),
        (gcs_filesystem(Credentials(), requester_pays="p"), True, "the requester pays"),
        (gcs_filesystem(Credentials(), session_kwargs={"proxy": "p"}), True, "session_kwargs"),
        (gcs_filesystem(SimpleNamespace(quota_project_id="p")), True, "quota"),
    ],
)
def test_gcs_settings_that_obstore_does_not_share(filesystem: Any, forced: bool, reason: str) -> None:
    with pytest.raises(UnlendableError, match=reason):
        GCSLender(filesystem, anywhere=forced).client("bucket")


def test_a_google_token_is_renewed_when_obstore_asks_and_it_is_not_good_any_more() -> None:
    expires = datetime(2026, 1, 1, tzinfo=timezone.utc)
    lender = GCSLender(gcs_filesystem(Credentials()), anywhere=False)
    assert lender._token() == {"token": "old", "expires_at": expires}
    lender = GCSLender(gcs_filesystem(Credentials(valid=False)), anywhere=False)
    assert lender._token() == {"token": "new", "expires_at": expires}


@pytest.mark.servers
def test_gcs_gets_the_token_and_the_metadata() -> None:
    with gcs.MiniGCS(token="secret-token") as server:
        server.make_bucket("bucket")
        with gcs.open_filesystem(server.endpoint, token="anon") as filesystem:
            credentials = Credentials(valid=False)
            credentials.refresh = lambda _: credentials.__dict__.update(valid=True, token="secret-token")  # type: ignore[method-assign]
            filesystem.credentials.credentials = credentials
            credentials.expiry = datetime.now() + timedelta(hours=5)
            lender = GCSLender(filesystem, METADATA, anywhere=True)
            check_alone(FastLane(MemoryStore(), ObstoreStore(lender)), "bucket/x")
        assert server.get_json("/storage/v1/b/bucket/o/x")["metadata"] == METADATA


# Azure


def azure_lane(filesystem: Any) -> FastLane:
    return FastLane(MemoryStore(), ObstoreStore(AzureLender(filesystem, METADATA)))


@pytest.mark.servers
def test_azure_gets_the_account_key_and_the_metadata(azure_filesystem: Any, azure_container: str) -> None:
    lane, key = azure_lane(azure_filesystem), f"{azure_container}/{uuid.uuid4().hex}"
    check_alone(lane, key)
    properties = azurite.ask(azure_filesystem, key, "get_blob_properties")
    assert properties.metadata == {"flyte_execution_name": "n1"}


@pytest.mark.servers
def test_azure_gets_a_shared_access_signature(azure_server: Azurite, azure_container: str) -> None:
    sas = generate_account_sas(
        azure_server.account,
        azure_server.key,
        ResourceTypes(object=True, container=True),
        AccountSasPermissions(read=True, write=True, list=True, create=True),
        datetime.now(timezone.utc) + timedelta(hours=1),
    )
    connection = f"BlobEndpoint={azure_server.endpoint}/{azure_server.account};SharedAccessSignature={sas}"
    with azurite.open_filesystem(connection) as filesystem:
        lane, key = azure_lane(filesystem), f"{azure_container}/{uuid.uuid4().hex}"
        check_alone(lane, key)


def test_azure_tokens_are_asked_of_the_filesystems_credential_each_time(azure_filesystem: Any) -> None:
    class Credential:
        async def get_token(self, scope: str) -> Any:
            assert scope == "https://storage.azure.com/.default"
            return SimpleNamespace(token="t", expires_on=1_800_000_000)

    give = _provider(azure_filesystem, SimpleNamespace(credential=Credential()), "")
    assert give() == {"token": "t", "expires_at": datetime.fromtimestamp(1_800_000_000, timezone.utc)}


@pytest.mark.parametrize(("ends", "minutes"), [("2027-01-01T00:03:00Z", 3), ("2027-01-01", 0), ("", 10)])
def test_an_azure_signature_that_ends_soon_or_is_replaced_is_asked_for_again(
    ends: str, minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime(2027, 1, 1, tzinfo=timezone.utc)
    monkeypatch.setattr(lending, "datetime", SimpleNamespace(now=lambda _: now))
    credential = AzureSasCredential("?sig=a")
    give = _provider(None, SimpleNamespace(credential=credential), "")
    assert give()["expires_at"] == now + timedelta(minutes=10)
    credential.update(f"sig=b&se={ends}")
    assert dict(give()["sas_token"])["sig"] == "b"
    assert give()["expires_at"] == now + timedelta(minutes=minutes)


def test_an_azure_key_that_is_replaced_is_asked_for_again() -> None:
    give = _provider(None, SimpleNamespace(credential=AzureNamedKeyCredential("account", "old")), "")
    assert give()["access_key"] == "old"
    assert give()["expires_at"] <= datetime.now(timezone.utc) + timedelta(minutes=10)


def test_azure_without_credentials_is_not_lent_from() -> None:
    service = SimpleNamespace(url="http://a.blob.core.windows.net/", account_name="a", credential=None)
    with pytest.raises(UnlendableError, match="anonymous"):
        AzureLender(SimpleNamespace(service_client=service)).client("container")


# What obstore raises


def test_an_error_of_the_system_is_no_answer_of_the_store() -> None:
    error = Exception(
        "Generic S3 error: Error performing PUT http://127.0.0.1:9/bucket/x in 120.513s - HTTP error: error"
        ' sending request\n\nDebug source: hyper { kind: Timeout, Os { code: 110, message: "timed out" } }'
    )
    assert answer_in(error) == ("", 0, "")
    refused = Exception("Bulk delete request failed for key x: a non-empty directory. (code: 409)")
    assert answer_in(refused).status == 409
    assert unanswered(error) == ("http://127.0.0.1:9/bucket/x", "Timeout after 120 s")
