"""One contestant in a process of its own, so that its time, its memory and its CPU are nobody else's.

Speaks JSON, one object a line: `{"operation": "save", "path": ..., "name": ...}` in, what it cost out.
Started as `python -m benchmarks.worker CLIENT ROOT`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.clients import CLIENTS, CONNECTIONS, ENGINES, Client


@dataclass(frozen=True, slots=True)
class Cost:
    """`seconds` on the clock, `cpu` seconds of the process and its children, `peak` bytes of memory above
    what the process had before it began (of a child: all that it had)."""

    seconds: float
    cpu: float
    peak: int


class Worker:
    """The other end, in the process that measures. Use as a context manager."""

    def __init__(self, client: str, root: str, environ: Mapping[str, str], network: str = "loopback") -> None:
        self._command = [sys.executable, "-m", "benchmarks.worker", client, root]
        engine = {"CKPTPTR_ENGINE": ENGINES[client]} if client in ENGINES else {}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        self._environ = {
            **os.environ,
            "PATH": path,
            "CONNECTIONS": str(CONNECTIONS[network]),
            **environ,
            **engine,
        }

    def __enter__(self) -> Worker:
        self._process = subprocess.Popen(
            self._command, env=self._environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def warm_up(self) -> None:
        """Import, connect, and save and restore one small file under a name of its own, before anything is
        timed: what a process does once, opened connections and ckptptr's question what conditional writes
        are worth on a server that it does not know (which the real clouds never hear), is in nobody's time.
        """
        with tempfile.TemporaryDirectory() as folder:
            source, target = Path(folder, "small.bin"), Path(folder, "restored")
            source.write_bytes(os.urandom(1024))
            target.mkdir()
            name = f"warm-up-{self._process.pid}"
            for operation, path in (("save", source), ("restore", target)):
                self.prepare(operation, name)
                self.run(operation, path, name)

    def prepare(self, operation: str, name: str) -> None:
        """What the contestant does before the stopwatch."""
        self._ask({"operation": "prepare", "path": operation, "name": name})

    def run(self, operation: str, path: Path, name: str) -> Cost:
        """Raises RuntimeError where the contestant fails."""
        return Cost(**self._ask({"operation": operation, "path": str(path), "name": name}))

    def _ask(self, job: Mapping[str, str]) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(job), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "it died"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


def cpu_of(pid: int) -> float:
    """CPU seconds that a process and those that it started have spent so far."""
    spent: dict[int, float] = {}
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
            spent[int(stat.parent.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(spent.get(each, 0.0) for each in family)


def _status(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def _cpu() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in spent)


def _children_peak() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _done(client: Client, operation: str, path: str, name: str) -> dict[str, Any]:
    if operation == "prepare":
        client.prepare(path, name)
        return {}
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, cpu, began = _status("VmRSS"), _cpu(), time.perf_counter()
    getattr(client, operation)(Path(path), name)
    seconds = time.perf_counter() - began
    peak = _children_peak() if client.is_a_program else _status("VmHWM") - before
    return asdict(Cost(seconds, _cpu() - cpu, peak))


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a client prints goes to stderr
    client = CLIENTS[sys.argv[1]](sys.argv[2])
    for line in sys.stdin:
        job = json.loads(line)
        try:
            reply = _done(client, job["operation"], job["path"], job["name"])
        except Exception as error:  # noqa: BLE001 - told to who measures
            reply = {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(reply), file=replies, flush=True)
    os._exit(0)  # some filesystems complain while they are torn down


if __name__ == "__main__":
    main()
