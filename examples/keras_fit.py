"""Keras: `fit` goes on with the next epoch, with the same dropout and the same order of the data.

    python examples/keras_fit.py /tmp/run-keras --epochs 6

Kill it, and run it again: it goes on where it was. It uses the backend that KERAS_BACKEND names.
"""

import argparse

import keras
import numpy as np

import ckptptr
from ckptptr.keras import BackupAndRestore


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="of the checkpoints")
    parser.add_argument("--epochs", type=int, default=6)
    given = parser.parse_args()

    keras.utils.set_random_seed(5)
    rows = np.random.default_rng(3).normal(size=(256, 8)).astype("float32")
    model = keras.Sequential(
        [
            keras.layers.Input((8,)),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse")
    retention = ckptptr.Retention(keep_last=2, keep_best=1, best_by="val_loss")
    with ckptptr.open(given.url, retention=retention) as checkpoints:
        callback = BackupAndRestore(checkpoints)
        history = model.fit(
            rows,
            rows.sum(axis=1),
            epochs=given.epochs,
            validation_split=0.25,
            verbose=0,
            callbacks=[callback],  # the last one, if there are more
        )
        for epoch, loss in zip(history.epoch, history.history.get("loss", []), strict=True):
            print(f"epoch {epoch + 1}: loss {loss!r}")
        print(f"saved: epoch {checkpoints.latest.step}")


if __name__ == "__main__":
    main()
