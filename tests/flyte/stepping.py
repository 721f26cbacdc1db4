"""Attempts that live side by side and do what a test tells them, one step at a time.

    with Stepping(node(tmp_path), 0) as older:
        assert older.answer() == "restored nothing"
        assert older.order("save 1") == "done 1"

Each is a real `pyflyte-execute` of `tasks/stepping.py`; orders and answers go through pipes.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ckptptr.testing.attempts import Attempt, SimulatedNode
from ckptptr.testing.pod import Remains

TASKS = Path(__file__).with_name("tasks")
PATIENCE = 60.0
"""Seconds until a test gives up on an answer."""


def stepping_node(folder: Path, task: str = "step_on_command", **settings: Any) -> SimulatedNode:
    """A node whose attempts take orders from pipes in `folder`."""
    inputs = {"folder": str(folder), **settings.pop("inputs", {})}
    return settings.pop("kind", SimulatedNode)(
        "stepping",
        task,
        root=settings.pop("root", f"{folder}/data"),
        folder=str(TASKS),
        inputs=inputs,
        **settings,
    )


class Stepping:
    """One attempt that is under way, inside a `with` block; killed at its end."""

    def __init__(self, node: SimulatedNode, attempt: int, **environ: str) -> None:
        self._node = node
        self._number = attempt
        self._environ = environ
        self._said = b""

    def __enter__(self) -> Stepping:
        with ExitStack() as stack:
            pipe = Path(str(self._node.inputs["folder"]), str(self._number))
            self._orders = stack.enter_context(_Pipe(pipe.with_suffix(".orders"))).end
            self._answers = stack.enter_context(_Pipe(pipe.with_suffix(".answers"))).end
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve()
            self._log = scratch / "log"
            self._process = stack.enter_context(self._start(scratch))
            stack.callback(self._process.kill)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, scratch: Path) -> subprocess.Popen[bytes]:
        node = self._node
        with self._log.open("wb") as log:
            return subprocess.Popen(
                node._command(self._number, scratch),
                cwd=node._working_directory(scratch),
                env=node._environ(self._number, [], scratch) | self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def order(self, what: str) -> str:
        """Have it do something, and wait for what it answers."""
        self.tell(what)
        return self.answer()

    def tell(self, what: str) -> None:
        """Have it do something, and wait for nothing."""
        os.write(self._orders, f"{what}\n".encode())

    def answer(self) -> str:
        """The next line that it answers."""
        while b"\n" not in self._said:
            ready, _, _ = select.select([self._answers], [], [], PATIENCE)
            assert ready, f"no answer; the log says {self.end().log}"
            self._said += os.read(self._answers, 4096)
        line, _, self._said = self._said.partition(b"\n")
        return line.decode()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def pause(self) -> None:
        """SIGSTOP; when this returns it stands still, in the middle of what it does, until SIGCONT."""
        self.send(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def end(self, timeout: float = PATIENCE) -> Attempt:
        """What became of it, when it has ended by itself.

        Raises:
            subprocess.TimeoutExpired: it has not within that many seconds.
        """
        returncode = self._process.wait(timeout)
        said = self._log.read_text(errors="replace")
        return self._node._attempt(self._number, Remains(returncode, said, (), 0.0, timed_out=False), None)


class _Pipe:
    """A named pipe with both ends open here: nobody waits for the other side to open its own."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Pipe:
        os.mkfifo(self._path)
        self.end = os.open(self._path, os.O_RDWR)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.end)
