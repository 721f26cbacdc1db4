"""The contract of the port holds on the fast lane too, on each cloud."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ckptptr.stores.azure.store import AzureStore
from ckptptr.stores.gcs.store import GCSStore
from ckptptr.stores.obstore.fast import FastLane
from ckptptr.stores.obstore.lend_azure import AzureLender
from ckptptr.stores.obstore.lend_gcs import GCSLender
from ckptptr.stores.obstore.lend_s3 import S3Lender
from ckptptr.stores.port import Guarantee
from ckptptr.stores.s3.store import S3Store
from ckptptr.testing import StoreConformance

pytestmark = pytest.mark.servers

PART = 5 << 20  # the smallest that S3 and Google take
SMALL = 64 * 1024


def checked(store: FastLane, folder: str) -> Iterator[FastLane]:
    """The store; at the end it must have been obstore that moved."""
    yield store
    assert store.engine(folder).startswith("obstore")


class TestFastS3(StoreConformance):
    guarantee = Guarantee.UNPROVEN  # an endpoint that is not Amazon's own
    equal_bodies_have_equal_tokens = True
    odd_names = tuple(name for name in StoreConformance.odd_names if "\\" not in name)  # a `/` to SeaweedFS

    @pytest.fixture
    def store(self, s3_filesystem: Any, folder: str) -> Iterator[FastLane]:
        adapter = S3Store(s3_filesystem, block_size=PART, copy_part_size=PART)
        yield from checked(
            FastLane(adapter, S3Lender(s3_filesystem, {}, forced=True), block_size=PART), folder
        )

    @pytest.fixture
    def folder(self, s3_bucket: str) -> str:
        return f"{s3_bucket}/{uuid.uuid4().hex}"


class TestFastGCS(StoreConformance):
    guarantee = Guarantee.UNPROVEN  # an endpoint that is not Google's own

    @pytest.fixture
    def store(self, gcs_filesystem: Any, folder: str) -> Iterator[FastLane]:
        lender = GCSLender(gcs_filesystem, {}, forced=True)
        yield from checked(FastLane(GCSStore(gcs_filesystem), lender, block_size=PART), folder)

    @pytest.fixture
    def folder(self, gcs_bucket: str) -> str:
        return f"{gcs_bucket}/{uuid.uuid4().hex}"


class TestFastAzure(StoreConformance):
    guarantee = Guarantee.UNPROVEN  # an endpoint that is not Azure's own
    odd_names = tuple(name for name in StoreConformance.odd_names if "\\" not in name)  # refused

    @pytest.fixture
    def store(self, azure_filesystem: Any, folder: str) -> Iterator[FastLane]:
        adapter = AzureStore(azure_filesystem, block_size=SMALL)
        lender = AzureLender(azure_filesystem, {}, forced=True)
        yield from checked(FastLane(adapter, lender, block_size=SMALL), folder)

    @pytest.fixture
    def folder(self, azure_container: str) -> str:
        return f"{azure_container}/{uuid.uuid4().hex}"
