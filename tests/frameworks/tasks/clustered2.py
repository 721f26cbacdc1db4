"""Tasks of two ranks in a JobSet. Rank 1 comes when rank 0 has loaded and saved."""

import json
import os
import tempfile
import time
from pathlib import Path

import flyte
from flyte.clustered import ClusteredTaskEnvironment, JaxRun, TorchRun, jax_initialize

from ckptptr.flyte2 import checkpoint

on_jax = ClusteredTaskEnvironment(name="on_jax", replicas=2, nproc_per_node=1, runtime=JaxRun())
on_torchrun = ClusteredTaskEnvironment(
    name="on_torchrun", replicas=1, nproc_per_node=2, runtime=TorchRun(max_restarts=1)
)


@on_jax.task(retries=3)
def jax(notes: str) -> str:
    jax_initialize()
    return train(Path(notes))


@on_torchrun.task(retries=3)
def torchrun(notes: str) -> str:
    return train(Path(notes))


def train(notes: Path) -> str:
    """All of it fails in the first start."""
    of = flyte.ctx()
    start = (of.restart_attempt or 0) + int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    saved = notes / f"saved-{start}"
    while of.rank == 1 and not saved.exists():
        time.sleep(0.05)
    loaded = of.checkpoint.load_sync()
    found = sorted(path.name for path in loaded.iterdir()) if loaded else "nothing"
    if of.rank == 0:
        of.checkpoint.save_sync(b"of one rank")
        saved.touch()
    parts = checkpoint().parts()
    told = {"found": found, "round": parts.round}
    Path(notes, f"start-{start}-rank-{of.rank}").write_text(json.dumps(told))
    with tempfile.TemporaryDirectory() as shard:
        Path(shard, f"shard-{of.rank}").touch()
        parts.save(shard, step=start + 1)
    if start == 0:
        raise RuntimeError("as in a first start")
    return "trained"
