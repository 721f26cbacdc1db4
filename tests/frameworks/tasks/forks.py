"""Trainings by the launcher of torchrun, whose ranks are forks of this process: it imports a framework once.

    forks.py FRAMEWORK

Each line of the input is a training as JSON: `[RANKS, RESTARTS, URL, FOLDER, OPTIONS]`. The answer is a line:
what each rank has trained, by rank; null if one of them failed, and no restart was left.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any
from uuid import uuid4

from any_two_files import import_once
from program import main
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch


def launched(framework: str, ranks: int, restarts: int, *given: Any) -> list[str] | None:
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=ranks,
        max_restarts=restarts,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        start_method="fork",
        monitor_interval=0.1,
    )
    try:
        trained = elastic_launch(config, main)(framework, *given)
    except ChildFailedError:
        return None
    return [trained[rank] for rank in range(ranks)]


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the ranks print is no answer
    import_once(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(launched(sys.argv[1], *json.loads(line))), file=answers, flush=True)
