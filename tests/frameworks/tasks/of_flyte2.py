"""The trainings as an elastic task of Flyte 2."""

from __future__ import annotations

from pathlib import Path

import flyte
from flyteplugins.pytorch.task import Elastic
from trainings import Trained, kill, meet
from trainings import train as train_with

from ckptptr.flyte2 import checkpoint

# Each ten seconds a watchdog of the plugin looks whether all ranks have died and wait to be reaped: it then
# ends the task. So they are reaped soon.
ranks = Elastic(nnodes=1, nproc_per_node=2, max_restarts=1, monitor_interval=0.1)
env = flyte.TaskEnvironment(name="trainings", plugin_config=ranks)


@env.task(retries=3)
def train(framework: str, folder: str, dies_at: int) -> str:
    meet()
    return str(train_with(framework, Trained(), checkpoint(), Path(folder), kill(dies_at)))
