"""Keras on jax, whatever else is there. In conftest, since Keras reads it when it is imported."""

import os

os.environ["KERAS_BACKEND"] = "jax"
