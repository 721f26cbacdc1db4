"""Azure stores for the tests: straight to the server, and through the proxy."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ckptptr.clock import Patience
from ckptptr.stores.azure.store import AzureStore

BLOCK = 64 * 1024


@pytest.fixture
def folder(azure_container: str) -> str:
    return f"{azure_container}/{uuid.uuid4().hex}"


@pytest.fixture
def store(azure_filesystem: Any) -> AzureStore:
    """Straight to the server."""
    return AzureStore(azure_filesystem, block_size=BLOCK)


@pytest.fixture
def proxied(azure_proxied: Any) -> AzureStore:
    """Through the proxy, with three seconds to answer in."""
    return AzureStore(azure_proxied, block_size=BLOCK, copy_patience=0.5)


@pytest.fixture
def impatient(azure_proxied: Any) -> AzureStore:
    """Through the proxy, with two tries, one right after the other."""
    return AzureStore(
        azure_proxied, block_size=BLOCK, copy_patience=0.5, patience=Patience(tries=2, wait=0.01)
    )
