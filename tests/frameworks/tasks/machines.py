"""A training whose framework writes a folder on each machine; each of the two ranks is a machine of its own.

    machines.py FRAMEWORK SNIPPET URL FOLDER

The files have the names that the framework gives them. The second machine is killed once, in the middle of
the save of step 3. After it all machines have new disks.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
from pathlib import Path

import torch.distributed as dist

import ckptptr

STEPS = 4


def megatron(folder: Path, rank: int, step: int) -> tuple[str, ...]:
    """Of megatron-core 0.16.1: `dist_checkpointing/serialization.py`, `strategies/common.py` and
    `strategies/filesystem_async.py`, with two writers a rank; of Megatron-LM: `training/checkpointing.py`."""
    name, tracker = f"iter_{step:07d}", "latest_checkpointed_iteration.txt"
    write(folder, *(f"{name}/__{rank}_{writer}.distcp" for writer in (0, 1)), text=f"{rank} at {step}")
    if rank == 0:
        write(folder, f"{name}/common.pt", f"{name}/.metadata", text=str(step))
        backend = {"sharded_backend": "torch_dist", "sharded_backend_version": 1}
        config = {**backend, "common_backend": "torch", "common_backend_version": 1}
        write(folder, f"{name}/metadata.json", text=json.dumps(config))
        write(folder, tracker, text=str(step))
    return name, tracker


def deepspeed(folder: Path, rank: int, step: int) -> tuple[str, ...]:
    """Of DeepSpeed 0.19.8, with ZeRO 1: `runtime/engine.py`."""
    name, scripts = f"global_step{step}", ("zero_to_fp32.py", "zero_to_torch.py")
    write(folder, f"{name}/zero_pp_rank_{rank}_mp_rank_00_optim_states.pt", text=f"{rank} at {step}")
    if rank == 0:
        write(folder, f"{name}/mp_rank_00_model_states.pt", text=str(step))
        write(folder, *scripts, text="# the same in each save")
        write(folder, "latest", text=name)
    return name, "latest", *scripts


def write(folder: Path, *names: str, text: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def begun_after(folder: Path) -> int:
    """As both read it: the number in the file that they write last."""
    files = (folder / "latest_checkpointed_iteration.txt", folder / "latest")
    texts = [file.read_text() for file in files if file.exists()]
    return int(texts[0].removeprefix("global_step")) if texts else 0


def main(framework: str, snippet: str, url: str, top: str) -> None:
    dist.init_process_group("gloo")
    rank, restarts = dist.get_rank(), os.environ["TORCHELASTIC_RESTART_COUNT"]
    os.environ |= {"GROUP_RANK": str(rank), "GROUP_WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    page = runpy.run_path(snippet)
    folder = Path(top, f"disk-{rank}-{restarts}")
    with ckptptr.open(url) as checkpoints:
        page["restore"](checkpoints, folder)
        begin = begun_after(folder)
        found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        print(json.dumps({"begin": begin, "found": found}))
        for step in range(begin + 1, STEPS + 1):
            names = {"megatron": megatron, "deepspeed": deepspeed}[framework](folder, rank, step)
            if (rank, step, restarts) == (1, 3, "0"):
                os.kill(os.getpid(), signal.SIGKILL)
            page["save"](checkpoints, folder, step, *names)


if __name__ == "__main__":
    main(*sys.argv[1:])
