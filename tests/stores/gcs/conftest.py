"""GCS stores for the tests: straight to the server, and through the proxy."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from ckptptr.clock import Patience
from ckptptr.stores.gcs.store import GCSStore
from ckptptr.stores.port import Store, Token

BLOCK = 256 * 1024  # the smallest that Google takes

# Each operation of the port, with the permission that it is refused for.
OPERATIONS: dict[str, tuple[str, Callable[[Store, str], object]]] = {
    "read": ("storage.objects.get", lambda store, key: store.read(key)),
    "download": ("storage.objects.get", lambda store, key: b"".join(store.download(key, 0, 1))),
    "create": ("storage.objects.create", lambda store, key: store.create(key, b"1")),
    "replace": ("storage.objects.delete", lambda store, key: store.replace(key, b"1", Token("1"))),
    "upload": ("storage.objects.create", lambda store, key: store.upload(key, [b"1"])),
    "large upload": ("storage.objects.create", lambda store, key: store.upload(key, [bytes(BLOCK)] * 2)),
    "list": ("storage.objects.list", lambda store, key: list(store.list(key))),
    "delete": ("storage.objects.delete", lambda store, key: store.delete([key])),
    "copy": ("storage.objects.get", lambda store, key: store.copy(key, f"{key}-copy")),
}


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
