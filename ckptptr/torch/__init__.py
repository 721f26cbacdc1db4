"""For programs that train with PyTorch: `torch.distributed.checkpoint`, `torch.save` and random numbers.

    dcp.save(state, storage_writer=DCPWriter(checkpoints, step=step))
    reader = DCPReader(checkpoints)
    if reader.found:
        dcp.load(state, storage_reader=reader)

`checkpoints` is what `ckptptr.open` returns, or the checkpoint of a task. Importing this imports torch. May
import checkpoints, framework, session and lifetime. The rule: the payload is what torch itself writes, and
torch alone can read it.
"""

from __future__ import annotations

from ckptptr.torch.dcp import DCPReader, DCPWriter
from ckptptr.torch.state import load, rng_state, save, set_rng_state

__all__ = ["DCPReader", "DCPWriter", "load", "rng_state", "save", "set_rng_state"]
