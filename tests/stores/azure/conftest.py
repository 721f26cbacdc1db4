"""Azure stores for the tests: straight to the server, and through the proxy."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from ckptptr.stores.azure import client as azure_client
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
def impatient(proxied: AzureStore, monkeypatch: pytest.MonkeyPatch) -> AzureStore:
    """Through the proxy, with two tries, one right after the other."""
    monkeypatch.setattr(azure_client, "TRIES", 2)
    monkeypatch.setattr(azure_client, "FIRST_PAUSE", 0.01)
    return proxied
