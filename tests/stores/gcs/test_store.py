"""GCSStore against a small server with true conditions, and against fake-gcs-server; requests are counted
by the proxy."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ckptptr.errors import NotFoundError, StoreUnavailableError
from ckptptr.stores.gcs.store import GCSStore
from ckptptr.stores.port import Entry, Guarantee
from ckptptr.testing import StoreConformance
from tests.servers.gcs import FakeGCS, MiniGCS, open_filesystem
from tests.servers.proxy import FaultProxy
from tests.stores.gcs.conftest import BLOCK

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("gcs_server")]


class TestGCSStore(StoreConformance):
    guarantee = Guarantee.UNPROVEN  # an endpoint that is not Google's own

    @pytest.fixture
    def store(self, gcs_filesystem: Any) -> GCSStore:
        return GCSStore(gcs_filesystem, block_size=BLOCK)

    @pytest.fixture
    def folder(self, gcs_bucket: str) -> str:
        return f"{gcs_bucket}/{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def gcs_fake_server() -> Iterator[Any]:
    """A gcsfs filesystem on a server of others, with one bucket."""
    with FakeGCS() as server, open_filesystem(server.endpoint) as filesystem:
        server.make_bucket("bucket")
        yield filesystem


class TestGCSStoreOnFakeGcsServer(StoreConformance):
    guarantee = Guarantee.UNPROVEN

    @pytest.fixture
    def store(self, gcs_fake_server: Any) -> GCSStore:
        return GCSStore(gcs_fake_server, block_size=BLOCK)

    @pytest.fixture
    def folder(self) -> str:
        return f"bucket/{uuid.uuid4().hex}"


# Requests


def test_each_small_operation_is_one_request(proxied: GCSStore, gcs_proxy: FaultProxy, folder: str) -> None:
    def count(operation: Callable[[], object]) -> list[str]:
        gcs_proxy.reset()
        operation()
        return [seen.method for seen in gcs_proxy.log]

    key = f"{folder}/x"
    assert count(lambda: proxied.create(key, b"1")) == ["POST"]
    assert count(lambda: proxied.read(key)) == ["GET"]
    token = proxied.read(key)[1]
    assert count(lambda: proxied.replace(key, b"2", token)) == ["POST"]
    assert count(lambda: proxied.upload(key, [bytes(BLOCK)])) == ["POST"]
    assert count(lambda: b"".join(proxied.download(key, 7, 1000))) == ["GET"]
    assert count(lambda: b"".join(proxied.download(key, 7, 0))) == []
    assert count(lambda: list(proxied.list(folder))) == ["GET"]
    assert count(lambda: proxied.copy(key, f"{folder}/y")) == ["POST"]
    assert count(lambda: proxied.delete([key, f"{folder}/y"])) == ["DELETE"] * 2


def test_each_absence_costs_a_listing_that_proves_it(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    for expected in (["GET", "GET"], ["GET", "GET"]):
        gcs_proxy.reset()
        with pytest.raises(NotFoundError):
            proxied.read(f"{folder}/x")
        assert [seen.method for seen in gcs_proxy.log] == expected


def test_a_larger_upload_is_one_request_for_each_block_and_one_before(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    proxied.upload(f"{folder}/x", [bytes(BLOCK)] * 3 + [b"end"])
    assert [seen.method for seen in gcs_proxy.log] == ["POST"] + ["PUT"] * 4


def test_a_copy_moves_no_payload_through_here(proxied: GCSStore, gcs_proxy: FaultProxy, folder: str) -> None:
    proxied.upload(f"{folder}/x", [bytes(BLOCK)] * 2 + [b"end"])
    gcs_proxy.reset()
    proxied.copy(f"{folder}/x", f"{folder}/y")
    assert sum(seen.sent + seen.received for seen in gcs_proxy.log) < 10_000
    assert b"".join(proxied.download(f"{folder}/y", 2 * BLOCK, 3)) == b"end"


def test_a_copy_that_the_store_makes_in_steps_is_followed_to_its_end() -> None:
    with (
        MiniGCS("--copy-step", str(BLOCK)) as server,
        FaultProxy(server.endpoint) as proxy,
        open_filesystem(proxy.endpoint) as filesystem,
    ):
        server.make_bucket("b")
        store = GCSStore(filesystem, {"a": "b"}, block_size=BLOCK)
        store.upload("b/x", [bytes(BLOCK)] * 2 + [b"end"])
        proxy.reset()
        store.copy("b/x", "b/y")
        assert [seen.status for seen in proxy.log] == [200] * 3
        assert b"".join(store.download("b/y", 2 * BLOCK, 3)) == b"end"
        assert server.get_json("/storage/v1/b/b/o/y")["metadata"] == {"a": "b"}


def test_a_copy_that_never_ends_is_given_up(gcs_filesystem: Any, folder: str) -> None:
    with pytest.raises(StoreUnavailableError, match="not copied"):
        GCSStore(gcs_filesystem, copy_steps=0).copy(f"{folder}/x", f"{folder}/y")


def test_listings_go_in_pages(gcs_proxied: Any, gcs_proxy: FaultProxy, folder: str) -> None:
    proxied = GCSStore(gcs_proxied, page=10)
    names = [f"{folder}/{number:04}" for number in range(25)]
    for name in names:
        proxied.create(name, b"1")
    gcs_proxy.reset()
    assert [*proxied.list(folder)] == [Entry(name, 1) for name in names]
    assert [seen.method for seen in gcs_proxy.log] == ["GET"] * 3
    proxied.delete(iter(names))
    assert [*proxied.list(folder)] == []


def test_a_bucket_can_be_listed_as_a_whole(store: GCSStore, gcs_server: MiniGCS) -> None:
    bucket = uuid.uuid4().hex
    gcs_server.make_bucket(bucket)
    store.create(f"{bucket}/x", b"1")
    assert [*store.list(bucket)] == [Entry(f"{bucket}/x", 1)]
