"""A training through each death in the save of step 4: see `each_death`.

any_two_files.py FRAMEWORK FOLDER
"""

from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path

import safetensors.torch
import torch
from trainings import Trained, train

import ckptptr
from tests.frameworks.each_death import Files, tell

IMPORTED_ONCE = {
    "transformers": (
        "transformers.trainer",
        "transformers.models.bert.modeling_bert",
        "ckptptr.transformers",
    ),
    "accelerate": ("accelerate", "ckptptr.accelerate"),
    "dcp": ("torch.distributed.checkpoint", "torch.distributed.fsdp", "ckptptr.torch"),
    "lightning": ("lightning.pytorch", "ckptptr.lightning"),
}
DIES_AFTER = 4
"""The step of the save in which it dies. The one before was after step 2."""


def import_once(framework: str) -> None:
    """What the forks of this process then need not import."""
    for module in IMPORTED_ONCE[framework]:
        importlib.import_module(module)
    gc.freeze()  # else each fork looks through all that was imported


def trained_at(framework: str, at: Path, dies_before: int) -> str:
    trained = Trained()
    files = Files(at / "here", dies_before, lambda: len(trained.losses) == DIES_AFTER)
    for module, name in ((torch, "save"), (safetensors.torch, "serialize_file")):  # C++ and Rust
        files.hear(module, name, lambda _content, path, *_, **__: path)
    with ckptptr.open(at / "run") as checkpoints:
        return str(train(framework, trained, checkpoints, at / "here/disk", lambda _: None))


if __name__ == "__main__":
    framework = sys.argv[1]
    import_once(framework)
    tell(Path(sys.argv[2]), lambda at, number: trained_at(framework, at, number), save=2, step=DIES_AFTER)
