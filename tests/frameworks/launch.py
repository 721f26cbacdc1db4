"""Starts the trainings: by the real torchrun, as an attempt of Flyte, and as one of Flyte 2."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from ckptptr.testing.actions import SimulatedAction
from ckptptr.testing.attempts import SimulatedNode

PROJECT = Path(__file__).parents[2]
TASKS = Path(__file__).with_name("tasks")
TIMEOUT = 280
"""Seconds that one training may take."""
FRAMEWORKS = ["accelerate", "dcp", "lightning", "transformers"]

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
    done = subprocess.run(
        command, env=_environ(), capture_output=True, text=True, check=False, timeout=TIMEOUT
    )
    assert (done.returncode == 0) == (restarts > 0), done.stderr
    said = re.findall(r"^rank (\d): (.*)$", done.stdout, re.MULTILINE)
    return [json.loads(text) for _, text in sorted(said)]


class Forks:
    """A process that imports all frameworks once. What it runs are forks of it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def train(
        self, framework: str, at: Path, *, ranks: int = 2, restarts: int = 1, **options: Any
    ) -> list[str]:
        """As `torchrun`, by its launcher."""
        trained = self._ask("train", ranks, restarts, framework, str(at / "run"), str(at / "disk"), options)
        assert (trained is None) == (restarts == 0)
        return trained or []

    def each_death(self, framework: str, folder: Path) -> dict[str, Any]:
        """See `each_death`: one process, which dies before each file of a save, and before each upload."""
        told: dict[str, Any] = self._ask("each death", framework, str(folder))
        return told

    def run(self, folder: Path, program: Path, *arguments: str) -> str:
        """What a program prints, in that folder."""
        printed = self._ask("run", str(folder), str(program), *arguments)
        assert isinstance(printed, str), f"{program} was killed"
        return printed

    def run_on_ranks(self, folder: Path, program: Path, *arguments: str, restarts: int = 0) -> str:
        """What a program prints on two ranks, by the launcher of torchrun."""
        printed = self._ask("run on ranks", restarts, str(folder), str(program), *arguments)
        assert printed is not None, f"{program} fails: see above"
        return "".join(printed)

    def _ask(self, *what: Any) -> Any:
        process = self._process = self._process or self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps(what), file=process.stdin, flush=True)
        if not select.select([process.stdout], [], [], TIMEOUT)[0]:
            os.killpg(process.pid, signal.SIGKILL)  # with its ranks
        return json.loads(process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate(timeout=60)

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(TASKS / "forks.py"), *FRAMEWORKS],
            env=_environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def _environ() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CKPTPTR_")}
    return kept | ENVIRON | {"PYTHONPATH": str(PROJECT)}


def in_flyte(framework: str, at: Path, *, dies_at: int) -> str:
    """What attempt 0 of a task, by the real pyflyte-execute, has trained."""
    inputs = {"framework": framework, "folder": str(at / "disk"), "dies_at": dies_at}
    environ = {**ENVIRON, "FRAMEWORK": framework}
    return _trained(SimulatedNode("of_flyte", "train", f"{at}/data", str(TASKS), inputs, environ=environ))


def in_flyte_2(framework: str, at: Path, *, dies_at: int) -> str:
    """What attempt 1 of a task, by the real `a0`, has trained."""
    inputs = {"framework": framework, "folder": str(at / "disk"), "dies_at": dies_at}
    return _trained(SimulatedAction("of_flyte2", "train", f"{at}/data", str(TASKS), inputs, environ=ENVIRON))


def _trained(simulated: SimulatedNode | SimulatedAction) -> str:
    done = simulated.run(simulated.first_attempt, timeout=TIMEOUT)
    assert done.outputs is not None, done.log
    return str(done.outputs["o0"])
