"""Fixtures for tests on Google Cloud Storage: one server for each test process, and a proxy."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.gcs import MiniGCS, open_filesystem
from tests.servers.proxy import FaultProxy


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[MiniGCS]:
    """One server for each test process."""
    with MiniGCS() as server:
        yield server


@pytest.fixture(scope="session")
def gcs_filesystem(gcs_server: MiniGCS) -> Iterator[Any]:
    """A gcsfs filesystem on that server."""
    with open_filesystem(gcs_server.endpoint) as filesystem:
        yield filesystem


@pytest.fixture(scope="session")
def gcs_bucket(gcs_server: MiniGCS) -> str:
    """The name of a bucket there."""
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    gcs_server.make_bucket(bucket)
    return bucket


@pytest.fixture
def gcs_proxy(gcs_server: MiniGCS) -> Iterator[FaultProxy]:
    """A fault-injecting proxy in front of that server, of this test's own: what an aborted upload of another
    test still sends goes to that test's proxy."""
    with FaultProxy(gcs_server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def gcs_proxied(gcs_proxy: FaultProxy) -> Iterator[Any]:
    """A gcsfs filesystem of this test's own that goes through the proxy."""
    with open_filesystem(gcs_proxy.endpoint) as filesystem:
        yield filesystem


def service_account(endpoint: str) -> str:
    """The JSON of a service account of that server, which asks for no token."""
    keys = {"private_key": "", "private_key_id": "", "client_email": ""}
    return json.dumps({**keys, "gcs_base_url": endpoint, "disable_oauth": True})


@pytest.fixture
def gcs_settings(gcs_server: MiniGCS) -> dict[str, Any]:
    """Those of obstore."""
    return {"config": {"service_account_key": service_account(gcs_server.endpoint)}}


@pytest.fixture
def gcs_proxied_settings(gcs_proxy: FaultProxy) -> dict[str, Any]:
    return {"config": {"service_account_key": service_account(gcs_proxy.endpoint)}}
