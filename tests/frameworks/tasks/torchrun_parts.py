"""What a rank does in `test_torchrun.py`: train, save its part of each step, and die once."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import ckptptr

url, scratch, dies_at = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
rank = int(os.environ["RANK"])

with ckptptr.open(url) as checkpoints:
    found = checkpoints.restore(scratch / f"restored-{rank}-{os.getpid()}", only=f"state-{rank}")
    state = [] if found is None else (found / f"state-{rank}").read_text().split()
    print(f"rank {rank} attempt {checkpoints.attempt} begins at step {len(state)}\n", end="", flush=True)
    parts = checkpoints.parts(deadline=60)
    for step in range(len(state), 6):
        state.append(f"{rank}.{step}")
        if (rank, step) == (1, dies_at) and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        mine = scratch / f"rank-{rank}"
        mine.mkdir(exist_ok=True)
        (mine / f"state-{rank}").write_text(" ".join(state))
        parts.save(mine, step=step)
    print(f"rank {rank} ends with {state}\n", end="", flush=True)
