"""One object of `torch.save` as a checkpoint, and the state of all random number generators."""

from __future__ import annotations

import random
import sys
from typing import Any

import torch

from ckptptr.checkpoints import Checkpoints

NAME = "state.pt"


def save(state: object, checkpoints: Checkpoints, *, step: int | None = None, **metadata: Any) -> None:
    """`torch.save` straight into the store, without a local file; confirmed when this returns.

    Raises: as `Checkpoints.save`.
    """
    with checkpoints.writer(NAME, step=step, metadata=metadata) as file:
        torch.save(state, file)


def load(checkpoints: Checkpoints, *, map_location: Any = None) -> Any:
    """What `save` saved in the newest good checkpoint; None if there is no checkpoint.

    It is loaded with `weights_only=True`: a checkpoint that others could write executes nothing.

    Raises: as `Checkpoints.restore`.
    """
    folder = checkpoints.restore(only=NAME)
    if folder is None:
        return None
    return torch.load(folder / NAME, map_location=map_location, weights_only=True)


def rng_state() -> dict[str, Any]:
    """The state of the generators of Python, numpy (where it is loaded), torch and CUDA, for `torch.save`."""
    state: dict[str, Any] = {"python": random.getstate(), "torch": torch.get_rng_state()}
    if numpy := sys.modules.get("numpy"):
        kind, keys, *rest = numpy.random.get_state()
        state["numpy"] = (kind, [int(key) for key in keys], *rest)
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Continue with what `rng_state` returned. A generator that is not there is left out."""
    random.setstate(state["python"])
    torch.set_rng_state(state["torch"])
    if "numpy" in state:
        import numpy

        numpy.random.set_state(state["numpy"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
