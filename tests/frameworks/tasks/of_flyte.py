"""The trainings as an elastic task of flytekit, whose ranks are forks: they import the framework once."""

from __future__ import annotations

import os
from pathlib import Path

from flytekit import task
from flytekitplugins.kfpytorch import Elastic
from trainings import Trained, import_once, kill, meet
from trainings import train as train_with

from ckptptr.flyte import checkpoint

ELASTIC = Elastic(nnodes=1, nproc_per_node=2, start_method="fork", max_restarts=1, monitor_interval=1)

import_once(os.environ["FRAMEWORK"])


@task(task_config=ELASTIC, retries=3)
def train(framework: str, folder: str, dies_at: int) -> str:
    meet()
    return str(train_with(framework, Trained(), checkpoint(), Path(folder), kill(dies_at)))
