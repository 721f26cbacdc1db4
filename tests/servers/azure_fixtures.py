"""Fixtures for tests on Azure: one Azurite for each test process, and a proxy in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.azurite import Azurite, make_container, open_filesystem
from tests.servers.proxy import FaultProxy


@pytest.fixture(scope="session")
def azure_server() -> Iterator[Azurite]:
    """One Azure emulator for each test process."""
    with Azurite() as server:
        yield server


@pytest.fixture(scope="session")
def azure_filesystem(azure_server: Azurite) -> Iterator[Any]:
    """An adlfs filesystem on that server."""
    with open_filesystem(azure_server.connection_string()) as filesystem:
        yield filesystem


@pytest.fixture(scope="session")
def azure_container(azure_filesystem: Any) -> str:
    """The name of a container there."""
    return make_container(azure_filesystem)


@pytest.fixture
def azure_proxy(azure_server: Azurite) -> Iterator[FaultProxy]:
    """A fault-injecting proxy in front of that server, of this test's own: what an aborted upload of another
    test still sends goes to that test's proxy."""
    with FaultProxy(azure_server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def azure_proxied(azure_server: Azurite, azure_proxy: FaultProxy) -> Iterator[Any]:
    """An adlfs filesystem of this test's own that goes through the proxy."""
    connection = azure_server.connection_string(azure_proxy.endpoint)
    with open_filesystem(connection, read_timeout=3) as filesystem:
        yield filesystem


def _settings(server: Azurite, endpoint: str) -> dict[str, Any]:
    """Those of obstore."""
    account = {"account_name": server.account, "account_key": server.key}
    return {"config": {**account, "endpoint": f"{endpoint}/{server.account}"}}


@pytest.fixture
def azure_settings(azure_server: Azurite) -> dict[str, Any]:
    return _settings(azure_server, azure_server.endpoint)


@pytest.fixture
def azure_proxied_settings(azure_server: Azurite, azure_proxy: FaultProxy) -> dict[str, Any]:
    return _settings(azure_server, azure_proxy.endpoint)
