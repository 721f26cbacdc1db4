"""What a save has in it, and the ledger: one file of each node, in which its processes write what they do.

The content is a function of the node and the step, so every byte of a restore can be judged. A step is never
used twice: it comes from the clock of the machine, which all processes share and no kill stops. A process
writes a line in one piece, on a disk that does not become full.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from ckptptr.checkpoints import Checkpoints
from ckptptr.errors import CkptptrError
from ckptptr.events import Event, on_event
from ckptptr.protocol.names import BYTES_NAME

RANKS = 2
LARGE = 9 << 20
"""More than one block, and more than one request of an upload."""

EXPECTED = {
    "access-denied",
    "conflict",
    "incomplete",
    "local-disk",
    "local-machine",
    "outcome-unknown",
    "preempted",
    "store-unavailable",
    "superseded",
}
"""The codes of the errors that trouble may cause. Any other one is a fault."""


def new_step() -> int:
    return time.monotonic_ns() // 1000


def now() -> float:
    return time.monotonic()


def shard(node: str, step: int, rank: int | None = None) -> dict[str, bytes]:
    """What one process saves: a model, a file that never changes and is not sent again, and the step."""
    dice = Random(f"{node} {step} {rank}")
    size = LARGE if dice.random() < 0.01 else dice.randrange(100_000)
    model = dice.randbytes(size)
    if node == "stock":
        return {BYTES_NAME: f"{step}\n".encode() + model}
    name = "" if rank is None else f"-{rank}"
    return {f"step{name}": str(step).encode(), f"sub/model{name}": model, f"same{name}": b"same" * 5000}


def content(node: str, step: int) -> dict[str, bytes]:
    """The whole checkpoint."""
    if node != "ranks":
        return shard(node, step)
    return {name: data for rank in range(RANKS) for name, data in shard(node, step, rank).items()}


def written(node: str, step: int, folder: Path, rank: int | None = None) -> Path:
    """The folder, with just the files of a process in it."""
    for name, data in shard(node, step, rank).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def step_of(node: str, folder: Path) -> int:
    """The step that a restored folder says it is."""
    name = {"stock": BYTES_NAME, "ranks": "step-0"}.get(node, "step")
    return int((folder / name).read_bytes().split(b"\n", 1)[0])


def differences(node: str, step: int, folder: Path) -> list[str]:
    """The files of a restored folder that are not what was saved."""
    return [
        name
        for name, data in content(node, step).items()
        if not (folder / name).is_file() or (folder / name).read_bytes() != data
    ]


@dataclass(frozen=True)
class Line:
    """One thing that a process did.

    `what` is `begin` or `saved` (a save), `restored`, `move` (of a person), `failed` (an error that trouble
    may cause) or `wrong`. `at` and `since` are when it ended and began, by the machine's own clock.
    """

    what: str
    at: float
    since: float = 0.0
    step: int | None = None
    attempt: int = -1
    seq: int = -1
    checkpoint: str = ""
    verdict: str = ""
    said: str = ""
    pid: int = 0

    @property
    def age(self) -> tuple[int, int]:
        return self.attempt, self.seq


class Ledger:
    """That of one node; also notes each save that is confirmed in this process."""

    def __init__(self, folder: Path, node: str) -> None:
        self.node = node
        self.path = folder / f"{node}.ledger"
        self.step = 0

    def note(self, what: str, **more: Any) -> None:
        line = Line(what, now(), pid=os.getpid(), **more)
        with self.path.open("ab", buffering=0) as file:
            file.write(json.dumps(asdict(line)).encode() + b"\n")

    def lines(self) -> list[Line]:
        if not self.path.exists():
            return []
        return [Line(**json.loads(line)) for line in self.path.read_text().splitlines()]

    def watch(self) -> None:
        """Note each save of this process when it is confirmed."""
        on_event(self._saw)

    def _saw(self, event: Event) -> None:
        if event.name == "save" and event.checkpoint and event.error is None:
            name = event.checkpoint.rpartition("/")[2]
            seq, attempt, _ = name.split("-")
            self.note(
                "saved",
                step=event.step if event.step is not None else self.step,
                attempt=int(attempt[1:]),
                seq=int(seq),
                checkpoint=event.checkpoint,
                verdict=event.verdict or "",
            )

    def begin(self) -> int:
        """A new save begins; its step."""
        self.step = new_step()
        self.note("begin", step=self.step)
        return self.step

    def restore(self, checkpoints: Checkpoints, folder: Path) -> None:
        """Restore, and look at every byte."""
        since = now()
        got = checkpoints.restore(folder)
        resolution = checkpoints.resolution
        if got is None or resolution is None or resolution.found is None:
            self.note("restored", since=since)
            return
        manifest = resolution.found.manifest
        assert manifest is not None, "a plain folder was restored"
        step = step_of(self.node, got)
        if broken := differences(self.node, step, got):
            self.note("wrong", step=step, said=f"restored other bytes in {broken}")
        self.note(
            "restored",
            since=since,
            step=step,
            attempt=manifest.attempt,
            seq=manifest.seq,
            checkpoint=resolution.found.reference,
            verdict=resolution.verdict.name.lower(),
        )

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Note what goes wrong, and whether trouble may cause it; pass it on."""
        try:
            yield
        except CkptptrError as error:
            self.note("failed" if error.code in EXPECTED else "wrong", said=f"{error.code}: {error}")
            raise
        except OSError as error:  # the disk is full for the program itself
            self.note("failed" if error.errno == errno.ENOSPC else "wrong", said=repr(error))
            raise
        except Exception as error:
            self.note("wrong", said=repr(error))
            raise
