"""Clustered tasks of Flyte 2: the SDK's own launcher in each pod of a JobSet, real ranks, the real `a0`."""

from __future__ import annotations

import json
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from ckptptr.testing.actions import SimulatedAction
from ckptptr.testing.outcome import Attempt

pytestmark = pytest.mark.timeout(400)  # torch is imported

LAUNCHER = """
from flyte._bin import clustered
clustered._master_addr = lambda *jobset: "localhost"  # the only name that a cluster would have to resolve
clustered.main()
"""


@dataclass(frozen=True, slots=True)
class JobSet(SimulatedAction):
    """A set of `pods`, each with `ranks`, which torchrun starts again so many times."""

    pods: int = 1
    ranks: int = 1
    restarts: int = 0

    def start(self, restart: int) -> list[Attempt]:
        """Run all pods at once, as the JobSet of an attempt starts them again and again."""
        with socket.create_server(("localhost", 0)) as free:
            port = free.getsockname()[1]
        told = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "JOBSET_NAME": "rx8k2jxq9sxpt-a0-0",
            "POD_NAMESPACE": "flytesnacks-development",
            "JOBSET_RESTART_ATTEMPT": str(restart),
            "JOBSET_MAX_RESTARTS": "1",
            "NNODES": str(self.pods),
            "NPROC_PER_NODE": str(self.ranks),
            "MASTER_PORT": str(port),
            "RDZV_BACKEND": "static",
            "PET_MAX_RESTARTS": str(self.restarts),
        }
        with ThreadPoolExecutor() as pool:
            return [
                *pool.map(lambda pod: self.run(1, **told, JOB_COMPLETION_INDEX=str(pod)), range(self.pods))
            ]

    def _command(self, attempt: int, scratch: Path) -> list[str]:
        _, *arguments = super(JobSet, self)._command(attempt, scratch)
        return [sys.executable, "-c", LAUNCHER, f"--runtime={self.task}", *arguments]


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


def jobset(notes: Path, runtime: str, **shape: int) -> JobSet:
    folder = str(Path(__file__).with_name("tasks"))
    inputs = {"notes": str(notes)}
    return JobSet("clustered2", runtime, root=f"{notes.parent}/data", folder=folder, inputs=inputs, **shape)


def agreed(notes: Path) -> None:
    """Rank 1 restored what rank 0 did, and not what it saved since; each start had a round of its own."""
    told = {path.name: json.loads(path.read_text()) for path in notes.glob("start-*")}
    assert {name: each["found"] for name, each in told.items()} == {
        "start-0-rank-0": "nothing",
        "start-0-rank-1": "nothing",
        "start-1-rank-0": ["shard-0", "shard-1"],
        "start-1-rank-1": ["shard-0", "shard-1"],
    }
    rounds = [{told[f"start-{start}-rank-{rank}"]["round"] for rank in (0, 1)} for start in (0, 1)]
    assert [len(tokens) for tokens in rounds] == [1, 1]
    assert not rounds[0] & rounds[1]


def test_when_torchrun_restarts_its_ranks_in_the_pod_they_do_so_too(notes: Path) -> None:
    (ended,) = jobset(notes, "torchrun", ranks=2, restarts=1).start(0)
    assert ended.outputs == {"o0": "trained"}, ended.log
    agreed(notes)
