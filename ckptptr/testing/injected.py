"""Faults and a request log in a process of which only the environment can be chosen."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from typing import Any

from ckptptr import stores
from ckptptr.stores.port import Store
from ckptptr.testing.faults import Fault, FaultyStore, Op

FAULTS = "CKPTPTR_TESTING_FAULTS"
LOG = "CKPTPTR_TESTING_LOG"


def install(environ: Mapping[str, str]) -> None:
    """Let every store that is opened from now on be faulty as `CKPTPTR_TESTING_FAULTS` says.

    Its value is a JSON list of the arguments of `Fault`; a kill is a real SIGKILL of this process.
    Requests are appended to the file `CKPTPTR_TESTING_LOG`, one JSON array `[op, key]` a line.
    """
    faults = [Fault(**arguments) for arguments in json.loads(environ[FAULTS])]
    open_store = stores.open_store

    def open_faulty(url: str, **options: Any) -> tuple[Store, str]:
        store, key = open_store(url, **options)
        return LoggedStore(store, faults, environ.get(LOG)), key

    stores.open_store = open_faulty


class LoggedStore(FaultyStore):
    """A faulty store whose log outlives the process."""

    def __init__(self, inner: Store, faults: list[Fault], path: str | None) -> None:
        super().__init__(inner, faults, on_kill=_kill)
        self._path = path

    def _start(self, op: Op, key: str) -> Fault | None:
        fault = super()._start(op, key)
        if self._path is not None:
            with open(self._path, "a") as file:
                file.write(json.dumps([op, key]) + "\n")
        return fault


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
