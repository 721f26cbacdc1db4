"""A training program outside Flyte: checkpoints in a folder or a bucket, and a clean end when it is told to.

Run it again and it goes on; `kubernetes_job.yaml` and `slurm.sbatch` run it where machines go away.

    python examples/train.py /tmp/pi --steps 200
"""

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

import ckptptr

TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h


def train(checkpoints: ckptptr.Checkpoints, steps: int) -> None:
    folder, state = Path(tempfile.mkdtemp()), {"step": 0, "pi": 0.0}

    def save() -> None:
        (folder / "state.json").write_text(json.dumps(state))
        checkpoints.save(folder, step=state["step"], metadata={"pi": state["pi"]})

    # Slurm sends SIGUSR1 before the time limit, and SIGTERM where it preempts; Kubernetes SIGTERM, which
    # without a handler the first process of a container does not even hear: so the restore is inside too.
    with checkpoints.on_preemption(save, signals=(signal.SIGTERM, signal.SIGUSR1)):
        if checkpoints.restore(folder):
            state = json.loads((folder / "state.json").read_text())
        print(f"attempt {checkpoints.attempt} begins after step {state['step']}", flush=True)
        for step in range(state["step"] + 1, steps + 1):
            terms = range(10_000 * (step - 1), 10_000 * step)
            more = sum((4 if k % 2 == 0 else -4) / (2 * k + 1) for k in terms)
            state = {"step": step, "pi": state["pi"] + more}  # a new one: whole at any moment
            if step % 5 == 0 or step == steps:
                save()
                print(f"saved step {step}", flush=True)
    print(f"done: pi is {state['pi']:.12f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="where the checkpoints are: s3://bucket/run-42, or a folder")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument(
        "--attempt", type=int, help="where the scheduler counts them; else a number is claimed"
    )
    given = parser.parse_args()
    with ckptptr.open(given.url, attempt=given.attempt) as checkpoints:
        try:
            train(checkpoints, given.steps)
        except ckptptr.PreemptedError:  # the log says what happened to the last save
            return TRY_AGAIN
    return 0


if __name__ == "__main__":
    sys.exit(main())
