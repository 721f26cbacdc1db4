"""Checkpoints without Flyte, in a folder or a bucket.

Run it twice, and the second run goes on where the first one stopped:

    python examples/save_and_resume.py /tmp/run-42
    python examples/save_and_resume.py s3://bucket/run-42
"""

import json
import sys
import tempfile
from pathlib import Path

import ckptptr


def train(url: str, steps: int) -> None:
    with ckptptr.open(url) as checkpoints, tempfile.TemporaryDirectory() as folder:
        state = Path(folder, "state.json")
        if checkpoints.restore(folder):
            step = json.loads(state.read_text())["step"]
            print(f"attempt {checkpoints.attempt} resumes at step {step} ({checkpoints.resolution})")
        else:
            step = 0
            print(f"attempt {checkpoints.attempt} starts from scratch: there is no checkpoint at {url}")
        for now in range(step + 1, step + steps + 1):
            state.write_text(json.dumps({"step": now, "loss": 1 / now}))
            saved = checkpoints.save(folder, step=now, metadata={"loss": 1 / now})
        print(f"saved step {saved.step} as {saved.url}")


if __name__ == "__main__":
    train(sys.argv[1], steps=5)
