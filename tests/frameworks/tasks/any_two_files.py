"""A process is killed before each file that a save begins, and before each upload of one.

    any_two_files.py FRAMEWORK FOLDER

prints for each death where it was and what was trained after it, as JSON. The framework is imported once;
each training is a fork of this process.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from trainings import Trained, train

import ckptptr
from ckptptr.stores.open import wrap_every_store
from ckptptr.stores.port import Store
from ckptptr.testing.faults import Fault, FaultyStore

IMPORTED_ONCE = {
    "transformers": (
        "transformers.trainer",
        "transformers.models.bert.modeling_bert",
        "ckptptr.transformers",
    ),
    "accelerate": ("accelerate", "ckptptr.accelerate"),
    "lightning": ("lightning.pytorch", "ckptptr.lightning"),
}
DIES_AFTER = 4
"""The step of the save in which it dies. The one before was after step 2."""


class Files:
    """Dies before the n-th file that is begun in `folders` after step `DIES_AFTER`, whoever writes it."""

    def __init__(self, folders: tuple[str, ...], trained: Trained, dies_before: int) -> None:
        self._folders, self._trained, self._left = folders, trained, dies_before
        sys.addaudithook(self._heard)  # what Python opens
        for module, name in ((torch, "save"), (safetensors.torch, "serialize_file")):  # what C++ and Rust do
            setattr(module, name, self._around(getattr(module, name)))

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[1], str) and {*arguments[1]} & {*"wxa"}:
            self._begins(arguments[0])

    def _around(self, write: Callable[..., Any]) -> Callable[..., Any]:
        def written(content: Any, path: Any, *arguments: Any, **more: Any) -> Any:
            self._begins(path)
            return write(content, path, *arguments, **more)

        return written

    def _begins(self, path: Any) -> None:
        is_there = isinstance(path, str | os.PathLike) and str(path).startswith(self._folders)
        if is_there and len(self._trained.losses) == DIES_AFTER:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def trained_at(framework: str, at: Path, *, file: int = 0, upload: int = 0) -> Trained:
    """Train to the end; or die before the file, or the upload, of that number."""
    (at / "tmp").mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(at / "tmp")
    trained = Trained()
    Files((str(at / "disk"), str(at / "tmp")), trained, file)

    def with_fault(store: Store) -> Store:
        fault = Fault("kill", op="upload", save=2, nth=upload)
        return FaultyStore(store, [fault], on_kill=lambda: os.kill(os.getpid(), signal.SIGKILL))

    if upload:
        wrap_every_store(with_fault)
    with ckptptr.open(at / "run") as checkpoints:
        train(framework, trained, checkpoints, at / "disk", lambda _: None)
    return trained


def forked(framework: str, at: Path, **death: int) -> str | None:
    """What a fork of this process has trained; None if it was killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            (at / "said").write_text(str(trained_at(framework, at, **death)))
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None
    assert status == 0, "it failed"
    return (at / "said").read_text()


def main(framework: str, folder: str) -> None:
    for module in IMPORTED_ONCE[framework]:
        importlib.import_module(module)
    gc.freeze()  # else each fork looks through all that was imported
    top, told = Path(folder), {}
    for kind in ("file", "upload"):
        for number in itertools.count(1):
            at = top / f"{kind}-{number}"
            at.mkdir(parents=True)
            if (straight := forked(framework, at, **{kind: number})) is not None:
                break
            told[f"{kind} {number}"] = forked(framework, at)
    with ckptptr.open(at / "run", read_only=True) as checkpoints:
        checkpoints.restore(top / "last", step=DIES_AFTER)
    files = [path for path in (top / "last").rglob("*") if path.is_file()]
    print(json.dumps({"straight": straight, "files": len(files), "after": told}))


if __name__ == "__main__":
    main(*sys.argv[1:])
