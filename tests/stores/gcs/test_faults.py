"""GCSStore when the network, the server or the credentials fail: a small server behind a faulty proxy."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ckptptr.clock import Patience
from ckptptr.errors import (
    AccessDeniedError,
    ConflictError,
    DamagedError,
    StoreUnavailableError,
)
from ckptptr.stores.gcs.store import GCSStore
from ckptptr.stores.port import Entry
from tests.servers.gcs import open_filesystem, refused
from tests.servers.proxy import FaultProxy, Rule
from tests.stores.gcs.conftest import BLOCK, OPERATIONS

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("gcs_server")]


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
    assert 3 < time.monotonic() - begun < 12


def test_a_server_that_never_answers_costs_two_waits(gcs_proxied: Any, gcs_proxy: FaultProxy) -> None:
    gcs_proxy.add(Rule(hang=True, times=None))
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="no answer to read"):
        GCSStore(gcs_proxied, patience=Patience(at_most=1.9), answer=1.0).read("b/x")
    assert 2 < time.monotonic() - begun < 6


def test_two_503s_are_made_good(proxied: GCSStore, gcs_proxy: FaultProxy, folder: str) -> None:
    gcs_proxy.add(refused(503, "backendError", times=2))
    proxied.create(f"{folder}/x", b"1")
    assert [seen.status for seen in gcs_proxy.log] == [503, 503, 200]


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
    assert b"".join(proxied.download(f"{folder}/x", 0, len(body))) == body
    assert [seen.method for seen in gcs_proxy.log] == ["POST", "GET", "GET"]


def test_a_download_that_is_always_cut_is_unavailable_and_not_damaged(
    impatient: GCSStore, gcs_proxy: FaultProxy, folder: str
) -> None:
    impatient.upload(f"{folder}/x", [bytes(4 * BLOCK)])
    gcs_proxy.add(Rule(method="GET", cut=BLOCK, times=None))
    with pytest.raises(StoreUnavailableError):
        b"".join(impatient.download(f"{folder}/x", 0, 4 * BLOCK))


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
    assert b"".join(proxied.download(f"{folder}/x", 1, 2)) == b"33"
    assert b"".join(proxied.download(f"{folder}/x", 1, 2)) == b"23"


def test_an_object_that_has_no_ranges_says_why(proxied: GCSStore, gcs_proxy: FaultProxy, folder: str) -> None:
    gcs_proxy.add(Rule(status=200, body="all of it"))
    with pytest.raises(DamagedError, match="Content-Encoding: gzip"):
        b"".join(proxied.download(f"{folder}/x", 0, 1))


@pytest.mark.parametrize("blocks", [[bytes(BLOCK)], [bytes(BLOCK)] * 3])
def test_the_store_refuses_an_upload_that_changed_on_the_way(
    impatient: GCSStore, gcs_proxy: FaultProxy, folder: str, blocks: list[bytes]
) -> None:
    method = "POST" if len(blocks) == 1 else "PUT"
    gcs_proxy.add(Rule(method=method, garble=BLOCK // 2))
    with pytest.raises(StoreUnavailableError, match="400 invalid"):
        impatient.upload(f"{folder}/x", blocks)
    assert [*impatient.list(folder)] == []


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
