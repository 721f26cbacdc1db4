"""The trainings as an elastic task of flytekit."""

from __future__ import annotations

from pathlib import Path

from flytekit import task
from flytekitplugins.kfpytorch import Elastic
from trainings import Trained, kill, meet
from trainings import train as train_with

from ckptptr.flyte import checkpoint

ELASTIC = Elastic(nnodes=1, nproc_per_node=2, start_method="spawn", max_restarts=1, monitor_interval=1)


@task(task_config=ELASTIC, retries=3)
def train(framework: str, folder: str, dies_at: int) -> str:
    meet()
    return str(train_with(framework, Trained(), checkpoint(), Path(folder), kill(dies_at)))
