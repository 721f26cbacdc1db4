"""The contract of the port holds on obstore's adapter and on the fast lane, on each cloud."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ckptptr.stores.azure.store import AzureStore
from ckptptr.stores.gcs.store import GCSStore
from ckptptr.stores.obstore.configured import ConfiguredAzure, ConfiguredGCS, ConfiguredS3
from ckptptr.stores.obstore.fast import FastLane
from ckptptr.stores.obstore.lend_azure import AzureLender
from ckptptr.stores.obstore.lend_gcs import GCSLender
from ckptptr.stores.obstore.lend_s3 import S3Lender
from ckptptr.stores.obstore.store import ObstoreStore
from ckptptr.stores.port import Guarantee, Store
from ckptptr.stores.s3.store import S3Store
from ckptptr.testing import StoreConformance

pytestmark = pytest.mark.servers

PART = 5 << 20  # the smallest that S3 and Google take
SMALL = 64 * 1024
NO_BACKSLASH = tuple(name for name in StoreConformance.odd_names if "\\" not in name)


class OnS3(StoreConformance):
    guarantee = Guarantee.UNPROVEN  # an endpoint that is not Amazon's own
    equal_bodies_have_equal_tokens = True
    odd_names = NO_BACKSLASH  # a `/` to SeaweedFS

    @pytest.fixture
    def payload(self, s3_filesystem: Any) -> ObstoreStore:
        return ObstoreStore(S3Lender(s3_filesystem), block_size=PART)

    @pytest.fixture
    def adapter(self, s3_filesystem: Any) -> Store:
        return S3Store(s3_filesystem, block_size=PART, copy_part_size=PART)

    @pytest.fixture
    def folder(self, s3_bucket: str) -> str:
        return f"{s3_bucket}/{uuid.uuid4().hex}"


class OnGCS(StoreConformance):
    guarantee = Guarantee.UNPROVEN  # an endpoint that is not Google's own

    @pytest.fixture
    def payload(self, gcs_filesystem: Any) -> ObstoreStore:
        return ObstoreStore(GCSLender(gcs_filesystem, anywhere=True), block_size=PART)

    @pytest.fixture
    def adapter(self, gcs_filesystem: Any) -> Store:
        return GCSStore(gcs_filesystem)

    @pytest.fixture
    def folder(self, gcs_bucket: str) -> str:
        return f"{gcs_bucket}/{uuid.uuid4().hex}"


class OnAzure(StoreConformance):
    guarantee = Guarantee.UNPROVEN  # an endpoint that is not Azure's own
    odd_names = NO_BACKSLASH  # refused

    @pytest.fixture
    def payload(self, azure_filesystem: Any) -> ObstoreStore:
        return ObstoreStore(AzureLender(azure_filesystem), block_size=SMALL)

    @pytest.fixture
    def adapter(self, azure_filesystem: Any) -> Store:
        return AzureStore(azure_filesystem, block_size=SMALL)

    @pytest.fixture
    def folder(self, azure_container: str) -> str:
        return f"{azure_container}/{uuid.uuid4().hex}"


class _Lane:
    @pytest.fixture
    def store(self, adapter: Store, payload: ObstoreStore, folder: str) -> Iterator[Store]:
        lane = FastLane(adapter, payload)
        yield lane
        assert lane.engine(folder).startswith("obstore")  # it was obstore that moved


class TestObstoreOnS3(OnS3):
    @pytest.fixture
    def store(self, s3_settings: dict[str, Any]) -> Store:
        return ObstoreStore(ConfiguredS3(s3_settings), block_size=PART)


class TestObstoreOnGCS(OnGCS):
    @pytest.fixture
    def store(self, gcs_settings: dict[str, Any]) -> Store:
        return ObstoreStore(ConfiguredGCS(gcs_settings), block_size=PART)


class TestObstoreOnAzure(OnAzure):
    @pytest.fixture
    def store(self, azure_settings: dict[str, Any]) -> Store:
        return ObstoreStore(ConfiguredAzure(azure_settings), block_size=SMALL)


class TestLaneOnS3(_Lane, OnS3):
    pass


class TestLaneOnGCS(_Lane, OnGCS):
    pass


class TestLaneOnAzure(_Lane, OnAzure):
    pass
