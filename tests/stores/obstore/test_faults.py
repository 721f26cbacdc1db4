"""The fast lane through a network that fails: what passes is waited for, what does not is the adapter's."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from ckptptr.errors import AccessDeniedError, NotFoundError
from ckptptr.stores.obstore.fast import FastLane
from ckptptr.stores.obstore.lend_s3 import S3Lender
from ckptptr.stores.obstore.store import ObstoreStore
from ckptptr.stores.s3.store import S3Store
from tests.servers.proxy import FaultProxy, Rule

pytestmark = pytest.mark.servers

PART = 5 << 20
BODY = bytes(range(256)) * (PART // 256) * 2 + b"end"


@pytest.fixture
def lane(s3_proxied: Any) -> FastLane:
    """Through the proxy."""
    return FastLane(S3Store(s3_proxied, block_size=PART), ObstoreStore(S3Lender(s3_proxied), block_size=PART))


@pytest.fixture
def key(s3_bucket: str) -> str:
    return f"{s3_bucket}/{uuid.uuid4().hex}/x"


def blocks() -> list[bytes]:
    return [BODY[start : start + PART] for start in range(0, len(BODY), PART)]


@pytest.mark.parametrize(
    "rule",
    [
        Rule(method="PUT", path="partNumber", status=503, code="SlowDown", times=2),
        Rule(method="PUT", path="partNumber=2", drop="before"),
        Rule(method="PUT", path="partNumber=1", drop="after"),
        Rule(method="POST", path="uploads", status=500),
    ],
    ids=["503", "cut off before", "cut off after", "500 at the start"],
)
def test_an_upload_goes_on_after_what_passes(
    lane: FastLane, s3_proxy: FaultProxy, key: str, rule: Rule
) -> None:
    s3_proxy.add(rule)
    lane.upload(key, blocks())
    assert b"".join(lane.download(key, PART, PART + 3)) == BODY[PART:]
    assert lane.engine(key) == "obstore"


@pytest.mark.parametrize(
    "rule",
    [
        Rule(method="GET", status=503, code="SlowDown", times=2),
        Rule(method="GET", drop="before"),
        Rule(method="GET", cut=1000),
    ],
    ids=["503", "cut off before", "cut off in the middle"],
)
def test_a_download_goes_on_after_what_passes(
    lane: FastLane, s3_proxy: FaultProxy, key: str, rule: Rule
) -> None:
    lane.upload(key, blocks())
    s3_proxy.add(rule)
    assert b"".join(lane.download(key, 0, PART)) == BODY[:PART]


def test_a_refused_part_is_said_with_the_permission_and_nothing_is_left(
    lane: FastLane, s3_proxy: FaultProxy, s3_proxied: Any, key: str
) -> None:
    s3_proxy.add(Rule(method="PUT", path="partNumber", status=403, code="AccessDenied", times=None))
    with pytest.raises(AccessDeniedError, match=r"Grant s3:PutObject"):
        lane.upload(key, blocks())
    bucket, end = key.partition("/")[0], time.monotonic() + 20  # the upload is aborted beside the error
    while "Uploads" in s3_proxied.call_s3("list_multipart_uploads", Bucket=bucket):
        assert time.monotonic() < end
    with pytest.raises(NotFoundError):
        lane.read(key)


def test_a_large_upload_costs_its_parts_and_two_requests(
    lane: FastLane, s3_proxy: FaultProxy, key: str
) -> None:
    lane.upload(f"{key}-before", [b"1"])  # the lane is proven
    s3_proxy.reset()
    lane.upload(key, blocks())
    methods = [seen.method for seen in s3_proxy.log]
    assert (methods[0], sorted(methods[1:-1]), methods[-1]) == ("POST", ["PUT"] * 3, "POST")


def test_a_small_one_costs_one(lane: FastLane, s3_proxy: FaultProxy, key: str) -> None:
    lane.upload(key, [b"1"])
    s3_proxy.reset()
    lane.upload(key, [b"2"])
    assert b"".join(lane.download(key, 0, 1)) == b"2"
    assert [seen.method for seen in s3_proxy.log] == ["PUT", "GET"]
