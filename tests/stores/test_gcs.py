"""GCSStore against a small server with true conditions, and against fake-gcs-server; requests are counted
by the proxy."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.oauth2.credentials import Credentials

from ckptptr.clock import SystemClock
from ckptptr.errors import InvalidArgumentError, StoreUnavailableError
from ckptptr.protocol.latest import Latest
from ckptptr.protocol.pointer import Pointer
from ckptptr.stores.gcs import GCSStore
from ckptptr.stores.port import Entry
from ckptptr.testing import StoreConformance
from tests.servers.gcs import FakeGCS, MiniGCS, open_filesystem
from tests.servers.gcs_fixtures import *  # noqa: F403 - until they are named in tests/conftest.py
from tests.servers.proxy import FaultProxy

pytestmark = pytest.mark.servers

BLOCK = 256 * 1024  # the smallest that Google takes


@pytest.fixture
def store(gcs_filesystem: Any) -> GCSStore:
    """Straight to the server."""
    return GCSStore(gcs_filesystem, block_size=BLOCK)


@pytest.fixture
def proxied(gcs_proxied: Any) -> GCSStore:
    """Through the proxy."""
    return GCSStore(gcs_proxied, block_size=BLOCK)


class TestGCSStore(StoreConformance):
    @pytest.fixture
    def store(self, gcs_filesystem: Any) -> GCSStore:
        return GCSStore(gcs_filesystem, block_size=BLOCK)

    @pytest.fixture
    def folder(self, gcs_folder: str) -> str:
        return gcs_folder


@pytest.fixture(scope="module")
def fake_gcs_server() -> Iterator[Any]:
    """A gcsfs filesystem on a server of others, with one bucket."""
    with FakeGCS() as server, open_filesystem(server.endpoint) as filesystem:
        server.make_bucket("bucket")
        yield filesystem


class TestGCSStoreOnFakeGcsServer(StoreConformance):
    @pytest.fixture
    def store(self, fake_gcs_server: Any) -> GCSStore:
        return GCSStore(fake_gcs_server, block_size=BLOCK)

    @pytest.fixture
    def folder(self) -> str:
        return f"bucket/{uuid.uuid4().hex}"
