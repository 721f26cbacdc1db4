"""A process that imports frameworks once, and runs what it is asked for in forks of itself.

    forks.py FRAMEWORK...

Each line of the input is what `answer` takes, as JSON; the answer is a line of JSON.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import safetensors.torch
import torch
from program import main
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from trainings import Trained, import_once, train

import ckptptr
from tests.frameworks.each_death import Files, each_death, forked

DIES_AFTER = 4
"""The step of the save in which a process dies that is alone. The one before was after step 2."""


def answer(kind: str, *given: Any) -> Any:
    """What is trained, or printed; see `Forks`."""
    if kind == "train":
        return launched(main, *given)
    if kind == "run":
        return forked(Path(given[0], "printed"), lambda: ran(*given))
    if kind == "run on ranks":
        return launched(ran, 2, *given)
    framework, top = given
    return each_death(Path(top), lambda at, file: trained_at(framework, at, file), save=2, step=DIES_AFTER)


def launched(work: Callable[..., str], ranks: int, restarts: int, *given: Any) -> list[str] | None:
    """What `work` returns on each rank, by rank; None if one of them failed, and no restart was left."""
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
        returned = elastic_launch(config, work)(*given)
    except ChildFailedError:
        return None
    return [returned[rank] for rank in range(ranks)]


def trained_at(framework: str, at: Path, dies_before: int) -> str:
    trained = Trained()
    files = Files(at / "here", dies_before, lambda: len(trained.losses) == DIES_AFTER)
    for module, name in ((torch, "save"), (safetensors.torch, "serialize_file")):  # C++ and Rust
        files.hear(module, name, lambda _content, path, *_, **__: path)
    with ckptptr.open(at / "run") as checkpoints:
        return str(train(framework, trained, checkpoints, at / "here/disk", lambda _: None))


def ran(folder: str, program: str, *arguments: str) -> str:
    os.chdir(folder)
    sys.argv = [program, *arguments]
    with redirect_stdout(StringIO()) as printed:
        runpy.run_path(program, run_name="__main__")
    return printed.getvalue()


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed else is no answer
    import_once(*sys.argv[1:])
    for line in sys.stdin:
        print(json.dumps(answer(*json.loads(line))), file=answers, flush=True)
