"""S3Store against moto: the same promises on a second, independent S3.

moto ignores the conditions of copies and of completed multipart uploads. The suite does not ask for
them, and so no quirk needs declaring.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ckptptr.clock import SystemClock
from ckptptr.stores.port import Guarantee
from ckptptr.stores.s3.store import S3Store
from ckptptr.stores.wrappers.probe import with_known_guarantee
from ckptptr.testing import StoreConformance
from tests.servers.moto import Moto
from tests.servers.s3 import open_filesystem

pytestmark = pytest.mark.servers

PART = 5 * 1024 * 1024  # the smallest that S3 takes


@pytest.fixture(scope="module")
def s3_moto() -> Iterator[Any]:
    """An s3fs filesystem on a moto server."""
    with Moto() as server, open_filesystem(server, server.endpoint) as filesystem:
        yield filesystem


@pytest.fixture(scope="module")
def s3_moto_bucket(s3_moto: Any) -> str:
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    s3_moto.call_s3("create_bucket", Bucket=bucket)
    return bucket


@pytest.fixture
def folder(s3_moto_bucket: str) -> str:
    return f"{s3_moto_bucket}/{uuid.uuid4().hex}"


class TestS3StoreOnMoto(StoreConformance):
    guarantee = Guarantee.UNPROVEN  # an endpoint that is not Amazon's own
    equal_bodies_have_equal_tokens = True

    @pytest.fixture
    def store(self, s3_moto: Any) -> S3Store:
        return S3Store(s3_moto, block_size=PART, copy_part_size=PART)

    @pytest.fixture
    def folder(self, folder: str) -> str:
        return folder


def test_it_keeps_its_promises_and_is_trusted(s3_moto: Any, folder: str) -> None:
    store = S3Store(s3_moto)
    assert with_known_guarantee(store, folder, SystemClock(), {}) is store
    assert [*store.list(folder)] == []
