"""GCSStore when the network, the server or the credentials fail: a small server behind a faulty proxy."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ckptptr.clock import Patience
from ckptptr.errors import (
    DamagedError,
    StoreUnavailableError,
)
from ckptptr.stores.gcs.store import GCSStore
from ckptptr.stores.port import Entry
from ckptptr.testing import FaultConformance
from tests.servers.gcs import open_filesystem, refused
from tests.servers.proxy import FaultProxy, Rule
from tests.stores import dialects
from tests.stores.gcs.conftest import BLOCK

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("gcs_server")]


class TestGCSStoreWithFaults(FaultConformance):
    dialect = dialects.GCS
    storm = (3, 12)
    most_fed = 4

    @pytest.fixture
    def network(self, gcs_proxy: FaultProxy) -> FaultProxy:
        return gcs_proxy

    @pytest.fixture
    def store(self, proxied: GCSStore) -> GCSStore:
        return proxied

    @pytest.fixture
    def impatient(self, impatient: GCSStore) -> GCSStore:
        return impatient

    @pytest.fixture
    def folder(self, folder: str) -> str:
        return folder


# Lost replies and failing servers


def test_a_server_that_never_answers_costs_two_waits(gcs_proxied: Any, gcs_proxy: FaultProxy) -> None:
    gcs_proxy.add(Rule(hang=True, times=None))
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="no answer to read"):
        GCSStore(gcs_proxied, patience=Patience(at_most=1.9), answer=1.0).read("b/x")
    assert 2 < time.monotonic() - begun < 6


@pytest.mark.parametrize(
    ("asked", "least", "most"), [("2", 2.0, 5.0), ("3600", 5.0, 9.0), ("soon", 0.2, 4.0)]
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


# Bytes that get lost or changed


def test_a_download_that_is_cut_is_made_good(proxied: GCSStore, gcs_proxy: FaultProxy, folder: str) -> None:
    body = bytes(4 * BLOCK)
    proxied.upload(f"{folder}/x", [body])
    gcs_proxy.add(Rule(method="GET", cut=BLOCK))
    assert b"".join(proxied.download(f"{folder}/x", 0, len(body))) == body
    assert [seen.method for seen in gcs_proxy.log] == ["POST", "GET", "GET"]


def test_a_bit_flipped_in_a_whole_object_is_noticed_and_read_again(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    proxied.create(f"{folder}/x", b"1234")
    gcs_proxy.add(Rule(method="GET", corrupt=True))
    assert proxied.read(f"{folder}/x")[0] == b"1234"


def test_an_object_that_has_no_ranges_says_why(proxied: GCSStore, gcs_proxy: FaultProxy, folder: str) -> None:
    gcs_proxy.add(Rule(status=200, body="all of it", answer={"X-Goog-Generation": "1"}))
    with pytest.raises(DamagedError, match="Content-Encoding: gzip"):
        b"".join(proxied.download(f"{folder}/x", 0, 1))


def test_the_store_refuses_a_control_object_that_changed_on_the_way(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    token = proxied.create(f"{folder}/x", b"1")
    gcs_proxy.add(Rule(method="POST", garble=50_000, times=2))
    with pytest.raises(StoreUnavailableError, match="400 invalid"):
        proxied.create(f"{folder}/y", bytes(100_000))
    with pytest.raises(StoreUnavailableError, match="400 invalid"):
        proxied.replace(f"{folder}/x", bytes(100_000), token)
    assert proxied.read(f"{folder}/x") == (b"1", token)
    assert [*proxied.list(folder)] == [Entry(f"{folder}/x", 1)]


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


def test_a_block_that_arrived_is_not_sent_again(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(Rule(method="PUT", skip=1, drop="after"))
    proxied.upload(f"{folder}/x", body_of(BLOCK))
    sent = sum(seen.received for seen in gcs_proxy.log)
    assert 3 * BLOCK < sent < 3 * BLOCK + 10_000


def test_a_store_that_takes_nothing_more_is_unavailable(
    impatient: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(Rule(method="PUT", status=308, times=None))
    with pytest.raises(StoreUnavailableError, match="takes no more"):
        impatient.upload(f"{folder}/x", body_of(BLOCK))


def test_a_store_that_lost_what_it_had_is_unavailable(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(Rule(method="PUT", skip=1, status=308, answer={"Range": "bytes=0-9"}))
    with pytest.raises(StoreUnavailableError, match="lost a part"):
        proxied.upload(f"{folder}/x", body_of(BLOCK))
    assert [*proxied.list(folder)] == []


def test_a_session_that_the_store_has_forgotten_is_unavailable_and_not_absent(
    proxied: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    gcs_proxy.add(refused(404, "notFound", method="PUT"))
    with pytest.raises(StoreUnavailableError, match="forgotten the upload"):
        proxied.upload(f"{folder}/x", body_of(BLOCK))
