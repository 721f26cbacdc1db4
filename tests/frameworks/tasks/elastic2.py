"""A training of two ranks on torch's elastic launcher, with the code of a stock task of Flyte 2."""

import json
import os
from pathlib import Path

import flyte
import torch.distributed as dist
from flyteplugins.pytorch.task import Elastic

RANKS = 2

# Each ten seconds a watchdog of the plugin looks whether all ranks have died and wait to be reaped: it then
# ends the task. So they are reaped soon.
ranks = Elastic(nnodes=1, nproc_per_node=RANKS, max_restarts=1, monitor_interval=0.1)
env = flyte.TaskEnvironment(name="elastic", plugin_config=ranks)


@env.task(retries=3)
def train(notes: str, dies: bool) -> str:
    rank, restarts = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    dist.init_process_group("gloo")
    checkpoint = flyte.ctx().checkpoint
    if rank == 1:
        dist.barrier()  # rank 0 has loaded, and saved again
    loaded = checkpoint.load_sync()
    found = loaded.read_text() if loaded else "nothing"
    told = {
        "found": found,
        "agent": os.environ["TORCHELASTIC_USE_AGENT_STORE"],
        "at": checkpoint.remote_destination,
    }
    Path(notes, f"round-{restarts}-rank-{rank}").write_text(json.dumps(told))
    if rank == 0:
        checkpoint.save_sync(f"of round {restarts}".encode())
        dist.barrier()
    dist.barrier()
    if dies and restarts == 0:
        if rank == 1:
            raise RuntimeError("rank 1 dies")
        dist.barrier()  # until it fails
    return "trained"
