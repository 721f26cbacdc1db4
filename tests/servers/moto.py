"""moto: the S3 that many Python projects test with, on loopback, in memory.

Not a store but a model of one, and as such independent of every real one: it words its errors as AWS
does. It checks no credentials.
"""

from __future__ import annotations

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
from pathlib import Path
from types import TracebackType
from urllib.error import URLError
from urllib.request import urlopen

_STARTS = 3
_READY_WITHIN = 60.0  # most of it is importing


class MotoError(RuntimeError):
    """The server did not come up; the message ends with its log. Never a reason to skip a test."""


class Moto:
    """One `moto_server`, up between `with` and its end."""

    def __init__(self) -> None:
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)

    def __enter__(self) -> Moto:
        # A port can be taken between our look and the server's bind, and two workers can look at once.
        for start in range(1, _STARTS + 1):
            self._start()
            try:
                self._wait_until_ready()
                break
            except BaseException as error:
                self._stop()
                if start == _STARTS or not isinstance(error, MotoError):
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
        self._folder = Path(tempfile.mkdtemp(prefix="ckptptr-moto-"))
        self._log = self._folder / "log"
        self.port = _free_port()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [_binary(), "-H", "127.0.0.1", "-p", str(self.port)],
                cwd=self._folder,
                env={**os.environ, "TMPDIR": str(self._folder)},  # where it spills large bodies
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own process group, to be killed as a whole
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            if self._answers():
                return
            time.sleep(0.05)
        state = "exited" if self._process.poll() is not None else "is not ready"
        tail = self._log.read_text(errors="replace")[-3000:]
        raise MotoError(f"moto_server {state} after {_READY_WITHIN:.0f} s or less; its log ends:\n{tail}")

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.endpoint}/moto-api/", timeout=5) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except (URLError, ConnectionError, TimeoutError):
            return False

    def _stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it died by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._folder)


def _binary() -> str:
    beside_python = Path(sys.executable).with_name("moto_server")
    found = str(beside_python) if beside_python.exists() else shutil.which("moto_server")
    if not found:
        raise MotoError("there is no `moto_server`: pip install 'moto[server,s3]'")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
