"""Tasks for the simulator: some resume well, some do not."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from types import FrameType

from flytekit import current_context, task
from flytekit.exceptions.user import FlyteRecoverableException

from ckptptr.flyte import checkpoint


@task(retries=4)
def train(steps: int, every: int = 10) -> str:
    """Saves a folder of two files of 100 bytes each, by step."""
    ours, folder = checkpoint(), Path("state")
    restored = ours.restore(folder)
    start = int((folder / "step").read_text()) if restored else 0
    folder.mkdir(exist_ok=True)
    for step in range(start + every, steps * every + 1, every):
        (folder / "step").write_text(f"{step:0100}")
        (folder / "weights").write_text(f"{step:0>99}w")
        ours.save(folder, step=step)
    return f"from {start}"


@task
def forgetful(n: int) -> str:
    """Never restores anything."""
    for done in range(n):
        current_context().checkpoint.write(b"%d" % done)
    return "from nothing"


@task
def polite(n: int) -> str:
    """Ends as soon as SIGTERM comes, and asks for a retry."""
    told = threading.Event()

    def stop(_: int, __: FrameType | None) -> None:
        told.set()

    signal.signal(signal.SIGTERM, stop)
    ours = current_context().checkpoint
    previous = ours.read()
    start = int(previous) if previous else 0
    for done in range(start + 1, n + 1):
        ours.write(b"%d" % done)
        if told.is_set():
            raise FlyteRecoverableException(f"told to stop after {done}")
    return f"from {start}"


@task
def messy(n: int) -> str:
    """Resumes from its own disk, which no pod keeps; data that came with the code is there."""
    places = [Path("left-over"), Path(tempfile.gettempdir(), "left-over")]
    found = sum(place.exists() for place in places)
    for place in places:
        place.write_text("of an earlier attempt")
    for done in range(n):
        current_context().checkpoint.write(b"%d" % done)
    return f"{found} left over, {Path('simulated_tasks.py').exists()}"


@task
def patient() -> str:
    """Saves once, and waits for what never comes."""
    current_context().checkpoint.write(b"1")
    threading.Event().wait()
    return "never"


@task
def parent() -> str:
    """Terminates a fork and a program that it has started."""
    ready, tell = os.pipe()
    fork = os.fork()
    if fork == 0:
        os.write(tell, b"!")
        signal.pause()
    os.read(ready, 1)
    os.kill(fork, signal.SIGTERM)
    program = subprocess.Popen(["sleep", "60"])
    program.terminate()
    return str([os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]), program.wait()])


@task
def broken(layer: str = "") -> str:
    if not layer:
        raise ValueError("no such layer\nand more")
    return layer
