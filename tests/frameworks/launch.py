"""Starts the trainings: by the real torchrun, as an attempt of Flyte, and as one of Flyte 2."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from ckptptr.testing.actions import SimulatedAction
from ckptptr.testing.attempts import SimulatedNode

PROJECT = Path(__file__).parents[2]
TASKS = Path(__file__).with_name("tasks")
FRAMEWORKS = ["accelerate", "transformers"]

# Without the second, a group of torch 2.13 fails after a restart: docs/flyte.md.
ENVIRON = {
    "OMP_NUM_THREADS": "1",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def torchrun(framework: str, at: Path, *, ranks: int = 2, restarts: int = 1, **options: Any) -> list[str]:
    """What each rank that ended well has trained, by rank; the checkpoints are in `at/run`."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"),
        *(f"--max-restarts={restarts}", str(TASKS / "program.py")),
        *(framework, str(at / "run"), str(at / "disk"), json.dumps(options)),
    ]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CKPTPTR_")}
    environ = kept | ENVIRON | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=280)
    assert (done.returncode == 0) == (restarts > 0), done.stderr
    said = re.findall(r"^rank (\d) of attempt \d: (.*)$", done.stdout, re.MULTILINE)
    return [json.loads(text) for _, text in sorted(said)]


def in_flyte(framework: str, at: Path, *, dies_at: int) -> str:
    """What attempt 0 of a task, by the real pyflyte-execute, has trained."""
    inputs = {"framework": framework, "folder": str(at / "disk"), "dies_at": dies_at}
    return _trained(SimulatedNode("of_flyte", "train", f"{at}/data", str(TASKS), inputs, environ=ENVIRON))


def in_flyte_2(framework: str, at: Path, *, dies_at: int) -> str:
    """What attempt 1 of a task, by the real `a0`, has trained."""
    inputs = {"framework": framework, "folder": str(at / "disk"), "dies_at": dies_at}
    return _trained(SimulatedAction("of_flyte2", "train", f"{at}/data", str(TASKS), inputs, environ=ENVIRON))


def _trained(simulated: SimulatedNode | SimulatedAction) -> str:
    done = simulated.run(simulated.first_attempt, timeout=280)
    assert done.outputs is not None, done.log
    return str(done.outputs["o0"])
