"""S3Store against SeaweedFS; its requests are counted by the proxy."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import s3fs
from fsspec.asyn import sync

from ckptptr.clock import SystemClock
from ckptptr.errors import (
    AccessDeniedError,
    InvalidArgumentError,
    StoreUnavailableError,
)
from ckptptr.stores.port import Entry, Guarantee
from ckptptr.stores.room import ROOM
from ckptptr.stores.s3 import upload as s3_upload
from ckptptr.stores.s3.store import S3Store
from ckptptr.stores.wrappers.probe import with_known_guarantee
from ckptptr.testing import StoreConformance
from tests.servers.proxy import FaultProxy, Rule
from tests.servers.s3 import open_filesystem
from tests.servers.seaweed import Seaweed

pytestmark = [pytest.mark.servers, pytest.mark.pythons]

MIB = 1024 * 1024
PART = 5 * MIB  # the smallest that S3 takes


class TestS3Store(StoreConformance):
    guarantee = Guarantee.UNPROVEN  # an endpoint that is not Amazon's own
    equal_bodies_have_equal_tokens = True
    odd_names = tuple(name for name in StoreConformance.odd_names if "\\" not in name)  # a `/` to SeaweedFS

    @pytest.fixture
    def store(self, s3_filesystem: Any) -> S3Store:
        return S3Store(s3_filesystem, block_size=PART, copy_part_size=PART)

    @pytest.fixture
    def folder(self, s3_bucket: str) -> str:
        return f"{s3_bucket}/{uuid.uuid4().hex}"


# Requests


def test_each_small_operation_is_one_request(proxied: S3Store, s3_proxy: FaultProxy, folder: str) -> None:
    def count(operation: Callable[[], object]) -> list[str]:
        s3_proxy.reset()
        operation()
        return [seen.method for seen in s3_proxy.log]

    key = f"{folder}/x"
    assert count(lambda: proxied.create(key, b"1")) == ["PUT"]
    assert count(lambda: proxied.read(key)) == ["GET"]
    token = proxied.read(key)[1]
    assert count(lambda: proxied.replace(key, b"2", token)) == ["PUT"]
    assert count(lambda: proxied.upload(key, [bytes(PART)])) == ["PUT"]
    assert count(lambda: b"".join(proxied.download(key, 7, 1000))) == ["GET"]
    assert count(lambda: b"".join(proxied.download(key, 7, 0))) == []
    assert count(lambda: list(proxied.list(folder))) == ["GET"]
    assert count(lambda: proxied.copy(key, f"{folder}/y")) == ["HEAD", "PUT"]
    assert count(lambda: proxied.delete([key, f"{folder}/y"])) == ["POST"]


def test_a_larger_upload_is_one_request_for_each_block_and_two_around_them(
    proxied: S3Store, s3_proxy: FaultProxy, folder: str
) -> None:
    proxied.upload(f"{folder}/x", [bytes(PART)] * 3 + [b"end"])
    methods = [seen.method for seen in s3_proxy.log]
    assert (methods[0], sorted(methods[1:-1]), methods[-1]) == ("POST", ["PUT"] * 4, "POST")


def test_a_copy_moves_no_payload_through_here(proxied: S3Store, s3_proxy: FaultProxy, folder: str) -> None:
    proxied.upload(f"{folder}/x", [bytes(PART)] * 2 + [b"end"])
    s3_proxy.reset()
    proxied.copy(f"{folder}/x", f"{folder}/y")
    assert sum(seen.sent + seen.received for seen in s3_proxy.log) < 10_000
    assert sum("partNumber" in seen.path for seen in s3_proxy.log) == 3
    assert b"".join(proxied.download(f"{folder}/y", 2 * PART, 3)) == b"end"


def test_listings_and_deletions_of_thousands_go_in_pages(
    s3_proxied: Any, s3_proxy: FaultProxy, folder: str
) -> None:
    proxied = S3Store(s3_proxied, page=10)
    names = [f"{folder}/{number:04}" for number in range(25)]
    for name in names:
        proxied.create(name, b"1")
    s3_proxy.reset()
    assert [*proxied.list(folder)] == [Entry(name, 1) for name in names]
    proxied.delete(names)
    assert [seen.method for seen in s3_proxy.log] == ["GET"] * 3 + ["POST"] * 3
    assert [*proxied.list(folder)] == []


def test_the_default_sizes_make_objects_of_156_gib_possible(s3_filesystem: Any) -> None:
    assert S3Store(s3_filesystem).block_size * s3_upload.MAX_PARTS > 156 * 1024 * MIB


def test_more_blocks_than_s3_has_parts_are_an_invalid_argument_and_leave_nothing(
    s3_filesystem: Any, s3_bucket: str, folder: str
) -> None:
    store = S3Store(s3_filesystem, block_size=PART, max_parts=2)
    with pytest.raises(InvalidArgumentError, match="more than the 2 parts"):
        store.upload(f"{folder}/x", [bytes(PART)] * 3)
    assert [*store.list(folder)] == []
    assert unfinished_uploads(s3_filesystem, s3_bucket, folder) == []


def unfinished_uploads(filesystem: Any, bucket: str, folder: str) -> list[str]:
    prefix = folder.partition("/")[2]
    answer = filesystem.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix)
    return [upload["Key"] for upload in answer.get("Uploads", [])]


def test_an_upload_that_fails_aborts_what_it_sent(
    store: S3Store, s3_filesystem: Any, s3_bucket: str, folder: str
) -> None:
    def blocks() -> Iterator[bytes]:
        yield from [bytes(PART)] * 3
        assert unfinished_uploads(s3_filesystem, s3_bucket, folder)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.upload(f"{folder}/x", blocks())
    assert unfinished_uploads(s3_filesystem, s3_bucket, folder) == []


def test_an_upload_that_is_interrupted_while_it_waits_for_the_line_leaves_room_for_others(
    store: S3Store, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: int) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(store._client.line, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.upload(f"{folder}/x", [b"1", b"2"])
    assert store._room._free == ROOM


def test_an_upload_ends_early_when_a_part_fails(proxied: S3Store, s3_proxy: FaultProxy, folder: str) -> None:
    s3_proxy.add(Rule(method="PUT", path=r"partNumber=1\b", status=403, code="AccessDenied"))
    fed = []

    def blocks() -> Iterator[bytes]:
        for number in range(60):
            fed.append(number)
            yield bytes(PART)

    with pytest.raises(AccessDeniedError, match="s3:PutObject"):
        proxied.upload(f"{folder}/x", blocks())
    assert len(fed) < 30
    assert [*proxied.list(folder)] == []
    assert s3_proxy.log[-2].method == "DELETE"


# What uploads carry


def test_payload_carries_the_metadata_and_control_objects_do_not(
    s3_filesystem: Any, s3_bucket: str, folder: str
) -> None:
    tags = {"flyte-execution-name": "axq2", "flyte-execution-project": "p"}
    store = S3Store(s3_filesystem, tags, block_size=PART, copy_part_size=PART)
    store.upload(f"{folder}/small", [b"1"])
    store.upload(f"{folder}/large", [bytes(PART)] * 2)
    S3Store(s3_filesystem).upload(f"{folder}/bare", [b"1"])
    store.copy(f"{folder}/bare", f"{folder}/small-copy")
    store.copy(f"{folder}/large", f"{folder}/large-copy")
    token = store.create(f"{folder}/LATEST", b"1")
    store.replace(f"{folder}/LATEST", b"2", token)

    def metadata(name: str) -> dict[str, str]:
        path = f"{folder}/{name}".partition("/")[2]
        found: dict[str, str] = s3_filesystem.call_s3("head_object", Bucket=s3_bucket, Key=path)["Metadata"]
        return found

    for name in ("small", "large", "small-copy", "large-copy"):
        assert metadata(name) == tags
    assert metadata("bare") == metadata("LATEST") == {}


def test_the_settings_of_the_filesystem_apply_where_the_request_knows_them(
    s3_server: Seaweed, folder: str
) -> None:
    extra = {"CacheControl": "no-store", "ACL": "private"}
    with open_filesystem(s3_server, s3_server.endpoint, s3_additional_kwargs=extra) as filesystem:
        store = S3Store(filesystem)
        store.create(f"{folder}/x", b"1")
        assert store.read(f"{folder}/x")[0] == b"1"
        bucket, _, path = f"{folder}/x".partition("/")
        assert filesystem.call_s3("head_object", Bucket=bucket, Key=path)["CacheControl"] == "no-store"


# What arrives


def test_the_server_checks_the_checksum_that_is_sent(
    impatient: S3Store, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ckptptr.stores.s3.store.crc32", lambda _: "AAAAAA==")
    monkeypatch.setattr(s3_upload, "crc32", lambda _: "AAAAAA==")
    for blocks in ([b"1"], [bytes(PART)] * 2):
        with pytest.raises(StoreUnavailableError, match="BadDigest"):
            impatient.upload(f"{folder}/x", blocks)
    assert [*impatient.list(folder)] == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"ETag": '"any"', "ChecksumCRC32": "g9zvtw=="}, True),
        ({"ETag": '"c4ca4238a0b923820dcc509a6f75849b"'}, True),
        ({"ETag": '"encrypted"'}, False),
    ],
)
def test_a_checksum_or_an_md5_proves_that_a_block_arrived(answer: dict[str, str], expected: bool) -> None:
    assert s3_upload.proven(answer, b"1", "g9zvtw==", "b/x") is expected


def test_another_checksum_than_ours_is_a_failed_upload() -> None:
    with pytest.raises(StoreUnavailableError, match="other bytes"):
        s3_upload.proven({"ETag": '""', "ChecksumCRC32": "AAAAAA=="}, b"1", "g9zvtw==", "b/x")


@pytest.mark.parametrize("blocks", [[b"12345"], [bytes(PART), b"1"]])
@pytest.mark.parametrize("is_proven", [True, False])
def test_whether_it_was_proven_is_told(
    proxied: S3Store, folder: str, blocks: list[bytes], is_proven: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ckptptr.stores.s3.store.proven", lambda *_: is_proven)
    monkeypatch.setattr(s3_upload, "proven", lambda *_: is_proven)
    assert proxied.upload(f"{folder}/x", blocks) is is_proven


# Processes

AFTER_FORK = """
import gc, json, os, sys
import fsspec.asyn, s3fs
from ckptptr.stores.s3.store import S3Store
options, key = json.loads(sys.argv[1]), sys.argv[2]
store = S3Store(s3fs.S3FileSystem(**options))
store.create(key + "/parent", b"1")
if child := os.fork():
    status = os.waitpid(child, 0)[1]
    store.create(key + "/parent-again", b"1")
    sys.exit(os.waitstatus_to_exitcode(status))
store.create(key + "/child", b"1")
async def collect():  # s3fs closes the parent's filesystem when it is collected in an event loop
    gc.collect()
fsspec.asyn.sync(fsspec.asyn.get_loop(), collect)
"""


def test_a_store_works_on_in_a_forked_child(s3_server: Seaweed, store: S3Store, folder: str) -> None:
    options = {
        "key": s3_server.access_key,
        "secret": s3_server.secret_key,
        "endpoint_url": s3_server.endpoint,
    }
    command = [sys.executable, "-W", "ignore", "-c", AFTER_FORK, json.dumps(options), folder]
    subprocess.run(command, check=True, timeout=60)
    names = [entry.key.rpartition("/")[2] for entry in store.list(folder)]
    assert names == ["child", "parent", "parent-again"]


def test_a_filesystem_made_as_flytekit_makes_it_works(s3_server: Seaweed, folder: str) -> None:
    options = {"cache_regions": True, "client_kwargs": {"endpoint_url": s3_server.endpoint}}
    with open_filesystem(s3_server, None, **options) as filesystem:
        store = S3Store(filesystem)
        store.create(f"{folder}/x", b"1")
        assert [*store.list(folder)] == [Entry(f"{folder}/x", 1)]


def test_a_custom_endpoint_is_asked_and_amazons_own_are_known(s3_filesystem: Any, folder: str) -> None:
    store = S3Store(s3_filesystem)
    assert store.guarantee is Guarantee.UNPROVEN
    assert with_known_guarantee(store, folder, SystemClock(), {}) is store  # SeaweedFS keeps its promises
    filesystem = s3fs.S3FileSystem(key="k", secret="s", skip_instance_cache=True)
    try:
        assert S3Store(filesystem).guarantee is Guarantee.COMPARE_AND_SWAP
    finally:
        sync(filesystem.loop, filesystem.s3.close)
