"""The servers, and what a client's environment says of them: directly, or through something in between."""

from __future__ import annotations

import os
import tempfile
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.servers import azurite, gcs, s3, seaweed


class Place(ABC):
    """A bucket on a server. `pid` is that of its process."""

    port: int
    root: str
    pid: int

    @abstractmethod
    def environ(self, port: int) -> dict[str, str]:
        """How clients find it by that port, the server's own or a proxy's."""


class OnS3(Place):
    def __init__(self, stack: ExitStack) -> None:
        self._server = stack.enter_context(seaweed.Seaweed())
        self.port, self.pid = self._server.port, self._server._process.pid
        bucket = _name()
        with s3.open_filesystem(self._server, self._server.endpoint) as filesystem:
            filesystem.call_s3("create_bucket", Bucket=bucket)
        self.root = f"s3://{bucket}"

    def environ(self, port: int) -> dict[str, str]:
        endpoint = f"http://127.0.0.1:{port}"
        keys = {
            "AWS_ACCESS_KEY_ID": self._server.access_key,
            "AWS_SECRET_ACCESS_KEY": self._server.secret_key,
        }
        return {
            **keys,
            **{f"FLYTE_{name}": value for name, value in keys.items()},
            "AWS_ENDPOINT_URL": endpoint,
            "FLYTE_AWS_ENDPOINT": endpoint,
            "S3_ENDPOINT_URL": endpoint,
            "AWS_REGION": "us-east-1",
        }


class OnGCS(Place):
    def __init__(self, stack: ExitStack) -> None:
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
    def __init__(self, stack: ExitStack) -> None:
        self._server = stack.enter_context(azurite.Azurite())
        self.port, self.pid = self._server.port, self._server._process.pid
        with azurite.open_filesystem(self._server.connection_string()) as filesystem:
            self.root = f"abfs://{azurite.make_container(filesystem)}"

    def environ(self, port: int) -> dict[str, str]:
        connection = self._server.connection_string(f"http://127.0.0.1:{port}")
        return {"AZURE_STORAGE_CONNECTION_STRING": connection}


PLACES: dict[str, Callable[[ExitStack], Place]] = {"s3": OnS3, "gcs": OnGCS, "azure": OnAzure}


@contextmanager
def started(kind: str, folder: Path | None = None) -> Iterator[Place]:
    """A new server; `folder` is where it keeps its data, the temporary one where that is not said."""
    with ExitStack() as stack:
        tempfile.tempdir = str(folder) if folder else None
        try:
            place = PLACES[kind](stack)
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
