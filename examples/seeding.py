"""A new run that begins from a checkpoint of an old one: fine-tuning, a fixed bug, another learning rate.

The seed counts only while the new run has nothing of its own; then it resumes from its own. Where the
seed is not there the run fails and says so, rather than to start from nothing.

    python examples/save_and_resume.py /tmp/old
    python examples/seeding.py /tmp/old /tmp/new

In Flyte it is one variable in the environment of the execution, and the task needs no line for it:

    pyflyte run --remote --env CKPTPTR_SEED=s3://bucket/data/_ckptptr/flytesnacks/development/axq2rsxn/n0 \
        examples/counter_task.py count_to --n 8
"""

import json
import sys
import tempfile
from pathlib import Path

import ckptptr


def fine_tune(old: str, new: str) -> None:
    """Outside Flyte. `old` is a run, one checkpoint of it, or a folder: what `ckptptr log` shows as `url`."""
    with ckptptr.open(new, seed=old) as checkpoints, tempfile.TemporaryDirectory() as folder:
        checkpoints.restore(folder)
        print(checkpoints.resolution)
        state = json.loads(Path(folder, "state.json").read_text())
        for step in range(state["step"] + 1, state["step"] + 4):
            Path(folder, "state.json").write_text(json.dumps({"step": step, "loss": 0.5 / step}))
            saved = checkpoints.save(folder, step=step)
        print(f"saved step {saved.step} as {saved.url}")


def launch(old: str, n: int) -> None:
    """In Flyte, from a program. `old` is the node prefix of an execution, or one of its checkpoints."""
    from flytekit.configuration import Config
    from flytekit.remote import FlyteRemote

    remote = FlyteRemote(Config.auto(), default_project="flytesnacks", default_domain="development")
    task = remote.fetch_task(name="counter_task.count_to")
    remote.execute(task, inputs={"n": n}, envs={"CKPTPTR_SEED": old})


if __name__ == "__main__":
    fine_tune(*sys.argv[1:])
