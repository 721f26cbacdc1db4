"""What happened inside an attempt: the pod writes it, one JSON object a line; its starter reads it.

The log of a pod is for people; these lines are for programs. A SIGKILL loses none of them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import msgspec


class _Event(msgspec.Struct, frozen=True, tag_field="event", tag=str.lower):
    pass


class Asked(_Event, frozen=True):
    """ckptptr began a request to the store."""

    op: str
    key: str


class Restored(_Event, frozen=True):
    """A restore returned.

    `verdict`: `pointer`, `history`, `walkback`, `origin`, `plain` or `fresh`. `checkpoint`: its reference,
    None for a fresh start. `attempt`: the one that wrote it. `step`, `attempt` and `seq` are None for a
    fresh start and for a plain folder.
    """

    verdict: str
    checkpoint: str | None = None
    step: int | None = None
    attempt: int | None = None
    seq: int | None = None


class Began(_Event, frozen=True):
    """The task asked for a save: the work up to `step` is done."""

    step: int | None


class Saved(_Event, frozen=True):
    """LATEST names the checkpoint of a save: it is confirmed."""

    checkpoint: str
    step: int | None
    seq: int
    bytes: int


class Struck(_Event, frozen=True):
    """An ordered fault happened: a kill, a SIGTERM, a failed request."""

    action: str


Event: TypeAlias = Asked | Restored | Began | Saved | Struck


def append(path: str | os.PathLike[str], event: Event) -> None:
    """Write one line in one call: threads and processes may share the file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(event) + b"\n")
    finally:
        os.close(descriptor)


def read(path: Path) -> tuple[Event, ...]:
    """All that was written so far."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return tuple(msgspec.json.decode(line, type=Event) for line in lines)
