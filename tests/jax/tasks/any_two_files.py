"""A process is killed before each file that the save of epoch 3 begins, and before each upload of one.

    any_two_files.py FOLDER

prints for each death what was trained after it, as JSON. Keras is imported once; each training is a fork.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import h5py
import keras
from training import train

import ckptptr
from ckptptr.stores.open import wrap_every_store
from ckptptr.testing.faults import Fault, FaultyStore

DIES_IN = 3


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DiesBefore(keras.callbacks.Callback):
    """Dies before the n-th file that is begun below `folder` after epoch `DIES_IN`, by Python or by HDF5."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__()
        self._folder, self._left, self._is_on = str(folder), number, False
        sys.addaudithook(self._heard)
        self._file, h5py.File = h5py.File, self._opened

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        self._is_on = epoch + 1 == DIES_IN

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[1], str) and {*arguments[1]} & {*"wxa"}:
            self._begins(arguments[0])

    def _opened(self, path: Any, mode: str = "r", **more: Any) -> Any:
        if mode == "w":
            self._begins(path)
        return self._file(path, mode, **more)

    def _begins(self, path: Any) -> None:
        if self._is_on and isinstance(path, str | os.PathLike) and str(path).startswith(self._folder):
            self._left -= 1
            if self._left == 0:
                die()


def trained(at: Path, *, file: int = 0, upload: int = 0) -> str:
    os.environ["TMPDIR"] = str(at / "tmp")
    (at / "tmp").mkdir(parents=True, exist_ok=True)
    faults = [Fault("kill", op="upload", save=DIES_IN, nth=upload)] if upload else []
    wrap_every_store(lambda store: FaultyStore(store, faults, on_kill=die))
    with ckptptr.open(at / "run") as checkpoints:
        return train(checkpoints, DiesBefore(at / "tmp", file))


def forked(at: Path, **death: int) -> str | None:
    """What a fork of this process has trained; None if it was killed."""
    at.mkdir(parents=True, exist_ok=True)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            (at / "said").write_text(trained(at, **death))
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None
    assert status == 0, "it failed"
    return (at / "said").read_text()


def main(top: Path) -> None:
    after = {}
    for kind in ("file", "upload"):
        for number in itertools.count(1):
            at = top / f"{kind}-{number}"
            if (straight := forked(at, **{kind: number})) is not None:
                break
            after[f"{kind} {number}"] = forked(at)
    with ckptptr.open(at / "run", read_only=True) as checkpoints:
        checkpoints.restore(top / "last")
    files = [path.name for path in (top / "last").iterdir()]
    print(json.dumps({"straight": straight, "files": sorted(files), "after": after}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
