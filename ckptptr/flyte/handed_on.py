"""The output prefix, handed from a task's first process to its workers through the environment.

The workers of kfpytorch's Elastic with start method spawn get the checkpoint paths, but no output prefix.
Without it a hashed uid does not tell its node. They inherit the environment of the process that had it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping

import msgspec

from ckptptr.settings import HANDED_ON


def hand_on(environ: MutableMapping[str, str], *, checkpoint_path: str, output_prefix: str) -> None:
    """Tell the processes that this one starts."""
    environ[HANDED_ON.name] = json.dumps({"checkpoint_path": checkpoint_path, "output_prefix": output_prefix})


def handed_on(environ: Mapping[str, str], *, checkpoint_path: str) -> str | None:
    """The output prefix that came with exactly this checkpoint path; None if there is none."""
    try:
        known = msgspec.json.decode(HANDED_ON.read(environ), type=dict[str, str])
    except (msgspec.DecodeError, ValueError):  # before msgspec 0.20 the first is not the second
        return None
    return known.get("output_prefix") if known.get("checkpoint_path") == checkpoint_path else None
