"""A dynamic workflow: children that are made at run time, each with its own LATEST.

A child that dies is tried again and resumes. Where the dynamic task itself is tried again, its children
are new nodes to Flyte. By itself that is a fresh start, since the code that makes the children may
make others this time; CKPTPTR_ACROSS_PARENT_RETRIES=1 says that child n stays child n.

    pyflyte run examples/dynamic_workflow.py search --degrees '[1,3,5]'
    ckptptr simulate dynamic_workflow:fit --folder examples --input degree=5 \
        --die 'after save 3' --die 'before python'
"""

import json
import math

from flytekit import current_context, dynamic, task

STEPS = 8
POINTS = [number / 20 - 1 for number in range(41)]


@task(retries=5, environment={"CKPTPTR_ACROSS_PARENT_RETRIES": "1"})
def fit(degree: int) -> float:
    """The error of a polynomial that follows a sine, by gradient descent."""
    checkpoint = current_context().checkpoint
    saved = checkpoint.read()
    done, weights = json.loads(saved) if saved else (0, [0.0] * (degree + 1))
    for step in range(done, STEPS):
        for _ in range(50):
            for x in POINTS:
                miss = sum(w * x**power for power, w in enumerate(weights)) - math.sin(3 * x)
                weights = [w - 0.05 * miss * x**power for power, w in enumerate(weights)]
        checkpoint.write(json.dumps([step + 1, weights]).encode())
    values = [sum(w * x**power for power, w in enumerate(weights)) for x in POINTS]
    return max(abs(value - math.sin(3 * x)) for x, value in zip(POINTS, values, strict=True))


@task
def best(degrees: list[int], errors: list[float]) -> str:
    error, degree = min(zip(errors, degrees, strict=True))
    return f"degree {degree}, off by {error:.3f} at most"


@dynamic(retries=2)
def search(degrees: list[int]) -> str:
    errors = [fit(degree=degree) for degree in degrees]
    return best(degrees=degrees, errors=errors)
