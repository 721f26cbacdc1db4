"""A training with `fit` of Keras: dropout, a shuffled order, one loss an epoch; each epoch is saved."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ckptptr.keras import BackupAndRestore

EPOCHS = 4


def train(checkpoints: Any, *first: keras.callbacks.Callback) -> str:
    """The losses of the epochs that this process trained, a line each."""
    keras.utils.set_random_seed(5)
    rows = np.random.default_rng(3).normal(size=(32, 4)).astype("float32")
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.1), "mse")
    callbacks = [*first, BackupAndRestore(checkpoints)]
    history = model.fit(rows, rows.sum(axis=1), 8, EPOCHS, verbose=0, callbacks=callbacks)
    losses = history.history.get("loss", [])
    return "\n".join(f"epoch {n + 1}: loss {loss!r}" for n, loss in zip(history.epoch, losses, strict=True))
