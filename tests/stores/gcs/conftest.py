"""GCS stores for the tests: straight to the server, and through the proxy."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ckptptr.stores._gcs_client import Patience
from ckptptr.stores.gcs import GCSStore
from tests.servers.gcs_fixtures import (  # noqa: F401 - fixtures
    gcs_bucket,
    gcs_filesystem,
    gcs_proxied,
    gcs_proxy,
    gcs_proxy_session,
    gcs_server,
)

BLOCK = 256 * 1024  # the smallest that Google takes


@pytest.fixture
def folder(gcs_bucket: str) -> str:  # noqa: F811
    return f"{gcs_bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def store(gcs_filesystem: Any) -> GCSStore:  # noqa: F811
    """Straight to the server."""
    return GCSStore(gcs_filesystem, block_size=BLOCK)


@pytest.fixture
def proxied(gcs_proxied: Any) -> GCSStore:  # noqa: F811
    """Through the proxy."""
    return GCSStore(gcs_proxied, block_size=BLOCK)


@pytest.fixture
def impatient(gcs_proxied: Any) -> GCSStore:  # noqa: F811
    """Through the proxy, with two tries, one right after the other, and half a second to answer in."""
    patience = Patience(tries=2, wait=0.01, answer=0.5)
    return GCSStore(gcs_proxied, block_size=BLOCK, patience=patience)
