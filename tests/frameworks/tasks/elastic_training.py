"""A training of two ranks on torch's elastic launcher, that restore one after the other and all save.

Rank 1 restores only after rank 0 has restored and saved: it must get what rank 0 got all the same.
Each rank counts its own saves in a file of its own; `notes` is a folder where each says what it saw.
"""

import json
import os
from pathlib import Path

import torch.distributed as dist
from flytekit import current_context, task
from flytekitplugins.kfpytorch import Elastic

RANKS = 2


def elastic(start_method: str, restarts: int = 1) -> Elastic:
    return Elastic(
        nnodes=1, nproc_per_node=RANKS, start_method=start_method, max_restarts=restarts, monitor_interval=1
    )


@task(task_config=elastic("spawn"), retries=3)
def spawned(notes: str, die_in_round: int) -> str:
    return train(notes, die_in_round)


@task(task_config=elastic("fork"), retries=3)
def forked(notes: str, die_in_round: int) -> str:
    return train(notes, die_in_round)


@task(task_config=elastic("fork", restarts=0), retries=3)
def forked_and_only_rank_0_saves(n: int) -> str:
    """What people write: the code of a stock task, and an `if`."""
    checkpoint = current_context().checkpoint
    previous = checkpoint.read()
    start = int(previous.decode()) if previous else 0
    if int(os.environ["RANK"]) == 0:
        for done in range(start + 1, n + 1):
            checkpoint.write(f"{done}".encode())
    return f"counted from {start} to {n}"


def train(notes: str, die_in_round: int) -> str:
    rank, restarts = int(os.environ["RANK"]), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    checkpoint = current_context().checkpoint
    _meet(rank, restarts)
    if rank == 1:
        dist.barrier()
    folder = checkpoint.restore()
    found = {} if folder is None else {path.name: path.read_text() for path in sorted(folder.iterdir())}
    saw = {"prefix": checkpoint.checkpoints._session.node.prefix, "files": found}
    attempt = os.environ["FLYTE_ATTEMPT_NUMBER"]
    Path(notes, f"attempt-{attempt}-round-{restarts}-rank-{rank}").write_text(json.dumps(saw))
    _save(rank, f"rank-{rank}", int(found.get(f"rank-{rank}", 0)) + 1)
    if rank == 0:
        dist.barrier()
    dist.barrier()
    _save(rank, f"at-once-{rank}", restarts)
    dist.barrier()
    if restarts == die_in_round and rank == 1:
        raise RuntimeError("rank 1 dies")
    if restarts == die_in_round:
        dist.barrier()  # until it fails
    return "trained"


def _meet(rank: int, restarts: int) -> None:
    if os.environ["TORCHELASTIC_USE_AGENT_STORE"] != "True":
        dist.init_process_group("gloo")
        return
    # The agent's store outlives a restart, and gloo then finds what the dead ranks wrote (pytorch#135712).
    store = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    dist.init_process_group(
        "gloo", store=dist.PrefixStore(f"restart-{restarts}", store), rank=rank, world_size=RANKS
    )


def _save(rank: int, name: str, value: int) -> None:
    folder = Path(current_context().working_directory, f"of-{rank}-{os.getpid()}")
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(str(value))
    current_context().checkpoint.save(folder / name)
