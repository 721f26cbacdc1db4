"""A task that says in its code where it begins."""

from __future__ import annotations

from flytekit import task

from ckptptr.errors import InvalidArgumentError
from ckptptr.flyte import checkpoint


@task
def begin(seed: str) -> str:
    found = checkpoint(seed=seed).read()
    try:
        checkpoint(seed="another")
    except InvalidArgumentError as error:
        return f"{(found or b'').decode()}; {error.message}"
    return "another seed was taken"
