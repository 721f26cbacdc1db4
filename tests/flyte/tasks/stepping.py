"""A task that steps on command, so that nothing in a test is timed.

It reads its orders, one a line, from the pipe `<folder>/<attempt>.orders`, and answers each in
`<folder>/<attempt>.answers`: `save <step>` saves that step, `wait` waits for the background, `library`
installs a handler of SIGTERM as a library does, `end` returns.
"""

import os
import signal
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from flytekit import current_context, task

from ckptptr.flyte import checkpoint


@task
def step_on_command(folder: str) -> str:
    return _steps(folder, nullcontext())


@task
def step_until_preempted(folder: str, deadline: float) -> str:
    """It keeps each step that it is ordered to `compute`, and saves the last one when it is preempted."""
    kept: list[str] = []

    def save() -> None:
        if kept:
            checkpoint().save(kept[-1].encode(), step=int(kept[-1]))

    return _steps(folder, checkpoint().on_preemption(save, deadline=deadline), kept)


def _steps(folder: str, block: AbstractContextManager[object], kept: list[str] | None = None) -> str:
    pipe = Path(folder, os.environ["FLYTE_ATTEMPT_NUMBER"])
    with pipe.with_suffix(".orders").open() as orders, pipe.with_suffix(".answers").open("w", 1) as answers:
        previous = current_context().checkpoint.read()
        answers.write(f"restored {previous.decode() if previous else 'nothing'}\n")
        with block:
            for order in orders:
                what, _, step = order.strip().partition(" ")
                if what == "end":
                    break
                if what == "compute" and kept is not None:
                    kept.append(step)
                elif what == "library":
                    signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"the library was told\n"))
                elif what == "wait":
                    checkpoint().wait()
                else:
                    checkpoint().save(step.encode(), step=int(step))
                answers.write(f"done {step}\n")
    return f"from {previous.decode() if previous else 'nothing'}"
