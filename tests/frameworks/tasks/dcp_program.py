"""What a rank does in `test_dcp.py`: a sharded tensor, saved at each step; one rank dies once."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

import ckptptr
from ckptptr.torch import DCPReader, DCPWriter

STEPS = 4


class Dying(DCPWriter):
    """Its rank is killed when its files are written, and before they are uploaded."""

    def _parts(self, _: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)


def main(url: str, dies_at: int, how: str) -> None:
    dist.init_process_group("gloo")
    rank, mesh = dist.get_rank(), init_device_mesh("cpu", (dist.get_world_size(),))
    tensor = distribute_tensor(torch.zeros(6, 4), mesh, [Shard(0)])
    with ckptptr.open(url) as checkpoints:
        reader = DCPReader(checkpoints)
        state: dict[str, Any] = {"tensor": tensor, "step": torch.tensor(0)}
        if reader.found:
            dcp.load(state, storage_reader=reader)
        begin = int(state["step"])
        print(
            f"rank {rank} begins at {begin}, attempt {checkpoints.attempt}, reader says {reader.step}\n",
            end="",  # the line end is in the same write: both ranks write to one pipe
            flush=True,
        )
        for step in range(begin + 1, STEPS + 1):
            state["tensor"].to_local().add_(step + rank * 0.5)
            state["step"] = torch.tensor(step)
            kind = Dying if (rank, step) == (1, dies_at) and checkpoints.attempt == 0 else DCPWriter
            writer = kind(checkpoints, step=step, metadata={"loss": 1 / step}, deadline=30)
            if how == "async":
                dcp.async_save(
                    state, storage_writer=writer, process_group=dist.new_group(backend="gloo")
                ).result()
            else:
                dcp.save(state, storage_writer=writer)
        whole = state["tensor"].full_tensor()
        if rank == 0:
            print(f"ends with {whole.sum().item()}\n", end="", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
