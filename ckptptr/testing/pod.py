"""A pod: a group of processes that starts, may get signals, and ends with all of its processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ckptptr.testing import events
from ckptptr.testing.deaths import Death
from ckptptr.testing.events import Event

_AS_PID_1 = ("/bin/sh", "-c", 'trap "" TERM; exec "$@"', "sh")
"""The first process of a pod ignores a SIGTERM without a handler."""

_TICK = 0.05
"""Seconds between two checks whether SIGTERM is due, or was sent."""


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a pod.

    `returncode` is that of its first process, negative if a signal ended it; `log` is what it printed;
    `seconds` is how long it ran; `timed_out` says that it was killed at the timeout.
    """

    returncode: int
    log: str
    events: tuple[Event, ...]
    seconds: float
    timed_out: bool


def run_pod(
    command: Sequence[str],
    *,
    folder: str,
    environ: Mapping[str, str],
    record: Path,
    death: Death | None,
    timeout: float,
) -> Remains:
    """Run a pod to its end.

    Args:
        record: where the pod writes its events.
        death: this function sends SIGTERM and SIGKILL, as Kubernetes does. Faults of requests to the
            store happen in the pod itself.
        timeout: in seconds; then the pod is killed.
    """
    printed = record.with_name("log")
    began = time.monotonic()
    with printed.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [*_AS_PID_1, *command],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            timed_out = _live(process, record, death, began, timeout)
        finally:
            _kill_group(process)
            process.wait()
    return Remains(
        returncode=process.returncode,
        log=printed.read_text(errors="replace"),
        events=events.read(record),
        seconds=time.monotonic() - began,
        timed_out=timed_out,
    )


def _live(
    process: subprocess.Popen[bytes], record: Path, death: Death | None, began: float, timeout: float
) -> bool:
    """Wait for its end. Returns whether it timed out."""
    if death and death.at is None:
        events.append(record, events.Struck("kill"))
        _kill_group(process)
    is_to_be_terminated = death is not None and death.cause == "sigterm"
    kill_at = float("inf")
    while True:
        spent = time.monotonic() - began
        left = min(timeout, kill_at) - spent
        if left <= 0:
            return kill_at > timeout
        with suppress(subprocess.TimeoutExpired):
            process.wait(min(_TICK, left) if is_to_be_terminated else left)
            return False
        if death and is_to_be_terminated and _is_terminated(process, record, death, began):
            is_to_be_terminated = False
            kill_at = time.monotonic() - began + death.grace


def _is_terminated(process: subprocess.Popen[bytes], record: Path, death: Death, began: float) -> bool:
    """Whether SIGTERM was sent: by the pod at a moment in a save, or from here."""
    if not isinstance(death.at, float):
        return any(isinstance(event, events.Struck) for event in events.read(record))
    if time.monotonic() - began < death.at:
        return False
    events.append(record, events.Struck("term"))
    process.send_signal(signal.SIGTERM)
    return True


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
