"""obstore's adapter when the network, the server or the credentials fail, on each cloud."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ckptptr.clock import Patience
from ckptptr.stores.obstore.configured import ConfiguredAzure, ConfiguredGCS, ConfiguredS3
from ckptptr.stores.obstore.store import ObstoreStore
from ckptptr.testing import FaultConformance
from tests.servers.proxy import FaultProxy
from tests.stores import dialects

pytestmark = pytest.mark.servers

PART = 5 << 20  # the smallest that S3 and Google take
SMALL = 64 * 1024
SENDS = (1, 2, 4)  # a write that gets no answer is not sent again
TWICE: dict[str, Any] = {"patience": Patience(tries=2, wait=0.01), "answer": 1.0}


class TestObstoreOnS3WithFaults(FaultConformance):
    dialect = dialects.S3
    sends = SENDS
    makes_buckets = True  # SeaweedFS does
    checks_payload = False  # SeaweedFS does not compare the digest that obstore signs, as Amazon does

    @pytest.fixture
    def network(self, s3_proxy: FaultProxy) -> FaultProxy:
        return s3_proxy

    @pytest.fixture
    def store(self, s3_proxied_settings: dict[str, Any]) -> ObstoreStore:
        return ObstoreStore(ConfiguredS3(s3_proxied_settings), block_size=PART)

    @pytest.fixture
    def impatient(self, s3_proxied_settings: dict[str, Any]) -> ObstoreStore:
        return ObstoreStore(ConfiguredS3(s3_proxied_settings, **TWICE), block_size=PART)

    @pytest.fixture
    def folder(self, s3_bucket: str) -> str:
        return f"{s3_bucket}/{uuid.uuid4().hex}"


class TestObstoreOnGCSWithFaults(FaultConformance):
    dialect = dialects.GCS_XML
    sends = SENDS
    checks_payload = False  # obstore sends no checksum that Google compares

    @pytest.fixture
    def network(self, gcs_proxy: FaultProxy) -> FaultProxy:
        return gcs_proxy

    @pytest.fixture
    def store(self, gcs_proxied_settings: dict[str, Any]) -> ObstoreStore:
        return ObstoreStore(ConfiguredGCS(gcs_proxied_settings), block_size=PART)

    @pytest.fixture
    def impatient(self, gcs_proxied_settings: dict[str, Any]) -> ObstoreStore:
        return ObstoreStore(ConfiguredGCS(gcs_proxied_settings, **TWICE), block_size=PART)

    @pytest.fixture
    def folder(self, gcs_bucket: str) -> str:
        return f"{gcs_bucket}/{uuid.uuid4().hex}"


class TestObstoreOnAzureWithFaults(FaultConformance):
    dialect = dialects.AZURE
    sends = SENDS
    checks_payload = False  # obstore sends no MD5

    @pytest.fixture
    def network(self, azure_proxy: FaultProxy) -> FaultProxy:
        return azure_proxy

    @pytest.fixture
    def store(self, azure_proxied_settings: dict[str, Any]) -> ObstoreStore:
        return ObstoreStore(ConfiguredAzure(azure_proxied_settings), block_size=SMALL)

    @pytest.fixture
    def impatient(self, azure_proxied_settings: dict[str, Any]) -> ObstoreStore:
        return ObstoreStore(ConfiguredAzure(azure_proxied_settings, **TWICE), block_size=SMALL)

    @pytest.fixture
    def folder(self, azure_container: str) -> str:
        return f"{azure_container}/{uuid.uuid4().hex}"
