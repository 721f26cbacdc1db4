"""The null server (`server.c`) and the reference client (`reference.c`): built by gcc into `.cache/null`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

HERE = Path(__file__).parent
BUILT = HERE.parents[1] / ".cache/null"
PROGRAMS = {
    "server": ("server.c", "s3.c", "http.c", "objects.c", "arena.c"),
    "reference": ("reference.c",),
}
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-Wno-format-truncation", "-pthread")
KINDS = ("get", "head", "put", "delete", "list", "create", "part", "complete", "abort", "copy", "other")
"""Of requests, in what the server has counted."""


def can_build() -> bool:
    return shutil.which("gcc") is not None


def build(name: str) -> Path:
    """The program; compiled if a source is newer.

    Raises:
        RuntimeError: there is no gcc, or it found a mistake.
    """
    if not can_build():
        raise RuntimeError("the null server needs gcc")
    program, sources = BUILT / name, [HERE / source for source in PROGRAMS[name]]
    newest = max(each.stat().st_mtime for each in HERE.glob("*.[ch]"))
    if not program.exists() or program.stat().st_mtime < newest:
        BUILT.mkdir(parents=True, exist_ok=True)
        command = ["gcc", *FLAGS, "-o", program, *sources]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr)
    return program


class NullServer:
    """One that runs; `pid` is that of its process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self.pid, self.port = process.pid, int(process.stdout.readline())
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def set(self, delay: float, rate: float) -> None:
        """Answers are `delay` seconds late; each connection carries `rate` bytes a second, 0: as it can."""
        self._ask(f"__set?delay_ms={1000 * delay}&rate={rate}")

    def reset(self) -> None:
        """Forget all objects and counts."""
        self._ask("__reset")

    def stats(self) -> dict[str, Any]:
        """Requests by kind, `bytes_in` and `bytes_out`, CPU seconds."""
        found: dict[str, Any] = json.loads(self._ask("__stats"))
        return found

    def _ask(self, path: str) -> bytes:
        with urlopen(f"{self.endpoint}/{path}") as answer:  # noqa: S310 - our own
            body: bytes = answer.read()
        return body


@contextmanager
def running(gib: float) -> Iterator[NullServer]:
    """A server with memory for that much, all of it touched."""
    process = subprocess.Popen([build("server"), "0", str(gib)], stdout=subprocess.PIPE, text=True)
    try:
        yield NullServer(process)
    finally:
        process.kill()
        process.communicate()
