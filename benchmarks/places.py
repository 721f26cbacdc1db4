"""The servers, and what a client's environment says of them: directly, or through a proxy that counts."""

from __future__ import annotations

import os
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from benchmarks import null
from tests.servers import azurite, gcs, s3, seaweed

RATE, LATENCY = 25e6, 0.020
"""Of the slow network: bytes a second of each connection, seconds of each request."""


class Place(ABC):
    """A bucket on a server. `pid` is that of its process."""

    networks: ClassVar[tuple[str, ...]] = ("loopback", "counted")
    port: int
    root: str
    pid: int

    def set_network(self, name: str) -> None:
        """Make it slow, or fast again."""
        assert name != "slow"

    def requests(self) -> int | None:
        """How many it has answered so far; None if it does not count."""
        return None

    def reset(self) -> None:  # noqa: B027 - only one needs it
        """Forget all objects, if that takes no time."""

    @abstractmethod
    def environ(self, port: int) -> dict[str, str]:
        """How clients find it by that port, the server's own or a proxy's."""


class OnNull(Place):
    networks = ("loopback", "slow")

    def __init__(self, stack: ExitStack, gib: float) -> None:
        self._server = stack.enter_context(null.running(gib))
        self.port, self.pid, self.root = self._server.port, self._server.pid, "s3://bench"

    def environ(self, port: int) -> dict[str, str]:
        return _s3_environ(f"http://127.0.0.1:{port}", "key", "secret")

    def set_network(self, name: str) -> None:
        self._server.set(*((LATENCY, RATE) if name == "slow" else (0, 0)))

    def requests(self) -> int | None:
        stats = self._server.stats()
        return sum(stats[kind] for kind in null.KINDS)

    def reset(self) -> None:
        self._server.reset()


class OnS3(Place):
    def __init__(self, stack: ExitStack, gib: float) -> None:
        self._server = stack.enter_context(seaweed.Seaweed())
        self.port, self.pid = self._server.port, self._server._process.pid
        bucket = _name()
        with s3.open_filesystem(self._server, self._server.endpoint) as filesystem:
            filesystem.call_s3("create_bucket", Bucket=bucket)
        self.root = f"s3://{bucket}"

    def environ(self, port: int) -> dict[str, str]:
        return _s3_environ(f"http://127.0.0.1:{port}", self._server.access_key, self._server.secret_key)


class OnGCS(Place):
    def __init__(self, stack: ExitStack, gib: float) -> None:
        server = stack.enter_context(gcs.MiniGCS())
        self.port, self.pid = server.port, server._process.pid
        bucket = _name()
        server.make_bucket(bucket)
        self.root = f"gs://{bucket}"

    def environ(self, port: int) -> dict[str, str]:
        return {
            "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}",
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            "FSSPEC_GS_TOKEN": "anon",
            "FSSPEC_GS_PROJECT": "test",
        }


class OnAzure(Place):
    def __init__(self, stack: ExitStack, gib: float) -> None:
        self._server = stack.enter_context(azurite.Azurite())
        self.port, self.pid = self._server.port, self._server._process.pid
        with azurite.open_filesystem(self._server.connection_string()) as filesystem:
            self.root = f"abfs://{azurite.make_container(filesystem)}"

    def environ(self, port: int) -> dict[str, str]:
        connection = self._server.connection_string(f"http://127.0.0.1:{port}")
        return {"AZURE_STORAGE_CONNECTION_STRING": connection}


def _s3_environ(endpoint: str, access_key: str, secret_key: str) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
    return {
        **keys,
        **{f"FLYTE_{name}": value for name, value in keys.items()},
        "AWS_ENDPOINT_URL": endpoint,
        "FLYTE_AWS_ENDPOINT": endpoint,
        "S3_ENDPOINT_URL": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


PLACES: dict[str, type[OnNull | OnS3 | OnGCS | OnAzure]] = {
    "null": OnNull,
    "s3": OnS3,
    "gcs": OnGCS,
    "azure": OnAzure,
}


@contextmanager
def started(kind: str, folder: Path | None = None, gib: float = 1) -> Iterator[Place]:
    """A new server.

    Args:
        folder: where it keeps its data, if not in the temporary one; the null server has them in memory.
        gib: how much data the null server has room for.
    """
    with ExitStack() as stack:
        tempfile.tempdir = str(folder) if folder else None
        try:
            place = PLACES[kind](stack, gib)
        finally:
            tempfile.tempdir = None
        yield place


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """This process's own, for what is measured in it."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _name() -> str:
    return f"bench-{uuid.uuid4().hex[:12]}"
