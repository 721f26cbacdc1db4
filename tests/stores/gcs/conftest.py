"""GCS stores for the tests: straight to the server, and through the proxy."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ckptptr.clock import Patience
from ckptptr.stores.gcs.store import GCSStore

BLOCK = 256 * 1024  # the smallest that Google takes


@pytest.fixture
def folder(gcs_bucket: str) -> str:
    return f"{gcs_bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def store(gcs_filesystem: Any) -> GCSStore:
    """Straight to the server."""
    return GCSStore(gcs_filesystem, block_size=BLOCK)


@pytest.fixture
def proxied(gcs_proxied: Any) -> GCSStore:
    """Through the proxy."""
    return GCSStore(gcs_proxied, block_size=BLOCK)


@pytest.fixture
def impatient(gcs_proxied: Any) -> GCSStore:
    """Through the proxy, with two tries, one right after the other, and half a second to answer in."""
    patience = Patience(tries=2, wait=0.01)
    return GCSStore(gcs_proxied, block_size=BLOCK, patience=patience, answer=0.5)
