"""A training is killed before each file that a save begins, and before each upload of one; a fork each.

What it trains is imported once. It imports no framework itself.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import ckptptr
from ckptptr.stores.open import wrap_every_store
from ckptptr.testing.faults import Fault, FaultyStore


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Files:
    """Dies before the n-th file that is begun below `folder` while `is_on()`; by Python, or as told."""

    def __init__(self, folder: Path, dies_before: int, is_on: Callable[[], bool]) -> None:
        self._folder, self._left, self._is_on = str(folder), dies_before, is_on
        sys.addaudithook(self._heard)

    def hear(self, module: Any, name: str, path_of: Callable[..., Any]) -> None:
        """Of `module.name`, which writes files by C++, HDF5 or Rust; `path_of` its arguments is the path."""
        write = getattr(module, name)

        def written(*arguments: Any, **more: Any) -> Any:
            self._begins(path_of(*arguments, **more))
            return write(*arguments, **more)

        setattr(module, name, written)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[1], str) and {*arguments[1]} & {*"wxa"}:
            self._begins(arguments[0])

    def _begins(self, path: Any) -> None:
        is_there = isinstance(path, str | os.PathLike) and str(path).startswith(self._folder)
        if is_there and self._is_on():
            self._left -= 1
            if self._left == 0:
                die()


Train: TypeAlias = Callable[[Path, int], str]
"""Trains to the end in a folder, and says what it trained; dies before the file of that number in `here`."""


def each_death(top: Path, train: Train, *, save: int, step: int) -> dict[str, Any]:
    """What was trained `straight`; the `files` of one save, of that `step`; and what was trained `after` each
    death in it."""
    after = {}
    for kind in ("file", "upload"):
        for number in itertools.count(1):
            at = top / f"{kind}-{number}"
            if (straight := _forked(at, train, save, **{kind: number})) is not None:
                break
            after[f"{kind} {number}"] = _forked(at, train, save)
    with ckptptr.open(at / "run", read_only=True) as checkpoints:
        checkpoints.restore(top / "files", step=step)
    paths = [path for path in (top / "files").rglob("*") if path.is_file()]
    files = sorted(str(path.relative_to(top / "files")) for path in paths)
    return {"straight": straight, "files": files, "after": after}


def _forked(at: Path, train: Train, save: int, *, file: int = 0, upload: int = 0) -> str | None:
    def trained() -> str:
        tempfile.tempdir = str(at / "here")
        faults = [Fault("kill", op="upload", save=save, nth=upload)] if upload else []
        wrap_every_store(lambda store: FaultyStore(store, faults, on_kill=die))
        return train(at, file)

    (at / "here").mkdir(parents=True, exist_ok=True)
    return forked(at / "said", trained)


def forked(said: Path, work: Callable[[], str]) -> str | None:
    """What `work` returns in a fork of this process, by the file `said`; None if it was killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            said.write_text(work())
            status = 0
        except BaseException:  # noqa: BLE001 - no fork goes on with what this process does
            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None
    assert status == 0, "it failed: see above"
    return said.read_text()
