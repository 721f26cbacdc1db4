"""A training with Keras through each death in the save of epoch 3: see `each_death`.

any_two_files.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import h5py
import keras
from training import train

import ckptptr
from tests.frameworks.each_death import Files, each_death

DIES_IN = 3


def trained(at: Path, dies_before: int) -> str:
    epochs = []
    files = Files(at / "here", dies_before, lambda: len(epochs) == DIES_IN)
    files.hear(h5py, "File", lambda path, mode="r", **_: path if mode == "w" else None)
    counting: Any = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: epochs.append(epoch))
    with ckptptr.open(at / "run") as checkpoints:
        return train(checkpoints, counting)


if __name__ == "__main__":
    print(json.dumps(each_death(Path(sys.argv[1]), trained, save=DIES_IN, step=DIES_IN)))
