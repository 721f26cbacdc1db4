"""The training as a task of flytekit."""

from flytekit import task
from training import train

from ckptptr.flyte import checkpoint


@task(retries=3)
def fit() -> str:
    return train(checkpoint())
