"""A server as a subprocess of a test: its own folder and process group, loopback only, gone at the end.

A server that does not come up fails the tests that need it, with the end of its log; it is never a
reason to skip one.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, TypeVar
from urllib.error import URLError
from urllib.request import urlopen

_STARTS = 3
_ENDS_WITHIN = 20.0

Self = TypeVar("Self", bound="ServerProcess")


class ServerError(RuntimeError):
    """The server did not come up; the message ends with its log."""


class ServerProcess(ABC):
    """One server, up between `with` and its end. Subclasses say how it starts and when it is ready."""

    name: ClassVar[str]
    ready_within: ClassVar[float] = 180.0
    """Seconds. A server that fails ends by itself; one on a busy machine only takes long."""

    port: int
    folder: Path

    def __enter__(self: Self) -> Self:
        # A port can be taken between our look and the server's bind, and two workers can look at once.
        for start in range(1, _STARTS + 1):
            self.folder = Path(tempfile.mkdtemp(prefix=f"ckptptr-{self.name}-"))
            try:
                self._start()
                self._wait_until_ready()
                break
            except BaseException as error:
                self._stop()
                if start == _STARTS or not isinstance(error, ServerError):
                    raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> bytes:
        """What it has printed so far."""
        return (self.folder / "log").read_bytes()

    @abstractmethod
    def command(self) -> list[str]:
        """Its command line; chooses `port`, and may prepare `folder`."""

    def environ(self) -> Mapping[str, str]:
        """What its environment has besides ours."""
        return {}

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it takes requests."""

    def answers(self, path: str) -> bool:
        """Whether it says 200 to a GET."""
        try:
            with urlopen(f"{self.endpoint}{path}", timeout=5) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except (URLError, ConnectionError, TimeoutError):
            return False

    def restart(self) -> None:
        """End it by SIGTERM, as a shutdown does, and start it again on what it has stored."""
        os.killpg(self._process.pid, signal.SIGTERM)  # of node, what we started is only a wrapper
        deadline = time.monotonic() + _ENDS_WITHIN
        while self._is_alive() and time.monotonic() < deadline:
            time.sleep(0.05)
        self._kill()
        self._start_again()
        self._wait_until_ready()

    def _is_alive(self) -> bool:
        """Whether anything of its process group is left."""
        self._process.poll()
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _start(self) -> None:
        self._line = self.command()
        self._start_again()

    def _start_again(self) -> None:
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self._line,
                cwd=self.folder,
                env={**os.environ, "TMPDIR": str(self.folder), **self.environ()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # its own process group, to be killed as a whole
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.ready_within
        while time.monotonic() < deadline and self._process.poll() is None:
            if self.is_ready():
                return
            time.sleep(0.05)
        state = "exited" if self._process.poll() is not None else "is not ready"
        tail = self.log.decode(errors="replace")[-3000:]
        raise ServerError(
            f"{self.name} {state} after {self.ready_within:.0f} s or less; its log ends:\n{tail}"
        )

    def _stop(self) -> None:
        self._kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self) -> None:
        process = getattr(self, "_process", None)
        if process is not None:
            with contextlib.suppress(ProcessLookupError):  # it died by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def program(name: str, package: str) -> str:
    """The path of a program that a wheel has put beside Python, or of the system's own."""
    beside_python = Path(sys.executable).with_name(name)
    found = str(beside_python) if beside_python.exists() else shutil.which(name)
    if not found:
        raise ServerError(f"there is no `{name}`: pip install '{package}'")
    return found


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, and that no outgoing connection gets."""
    found = [port for port in random.sample(range(22_000, 32_000), 100 + count) if is_free(port)]
    return found[:count]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
