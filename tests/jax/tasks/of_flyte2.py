"""The training as a task of Flyte 2."""

import flyte
from training import train

from ckptptr.flyte2 import checkpoint

env = flyte.TaskEnvironment(name="training")


@env.task(retries=3)
def fit() -> str:
    return train(checkpoint())
