"""Fixtures for tests on S3: one SeaweedFS for each test process, and a proxy in front of it."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.proxy import FaultProxy
from tests.servers.s3 import open_filesystem
from tests.servers.seaweed import Seaweed


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Seaweed]:
    """One real S3 server for each test process."""
    with Seaweed() as server:
        yield server


@pytest.fixture(scope="session")
def s3_filesystem(s3_server: Seaweed) -> Iterator[Any]:
    """An s3fs filesystem on that server."""
    with open_filesystem(s3_server, s3_server.endpoint) as filesystem:
        yield filesystem


@pytest.fixture(scope="session")
def s3_bucket(s3_filesystem: Any) -> str:
    """The name of a bucket there."""
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    s3_filesystem.call_s3("create_bucket", Bucket=bucket)
    return bucket


@pytest.fixture
def s3_proxy(s3_server: Seaweed) -> Iterator[FaultProxy]:
    """A fault-injecting proxy in front of that server, of this test's own: what an aborted upload of another
    test still sends goes to that test's proxy."""
    with FaultProxy(s3_server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def s3_proxied(s3_server: Seaweed, s3_proxy: FaultProxy) -> Iterator[Any]:
    """An s3fs filesystem of this test's own that goes through the proxy."""
    with open_filesystem(s3_server, s3_proxy.endpoint, config_kwargs={"read_timeout": 3}) as filesystem:
        yield filesystem


def _settings(server: Seaweed, endpoint: str) -> dict[str, Any]:
    """Those of obstore, as Flyte 2 makes them."""
    keys = {"access_key_id": server.access_key, "secret_access_key": server.secret_key}
    return {"config": {"endpoint": endpoint, **keys}, "client_options": {"timeout": "99999s"}}


@pytest.fixture
def s3_settings(s3_server: Seaweed) -> dict[str, Any]:
    return _settings(s3_server, s3_server.endpoint)


@pytest.fixture
def s3_proxied_settings(s3_server: Seaweed, s3_proxy: FaultProxy) -> dict[str, Any]:
    return _settings(s3_server, s3_proxy.endpoint)


@pytest.fixture
def names_below_localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are this machine: access points have host names."""
    real = socket.getaddrinfo

    def resolved(host: Any, *more: Any, **options: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
