"""What a rank of torchrun does: `program.py FRAMEWORK URL FOLDER OPTIONS`, with options as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from trainings import Trained, kill, meet, rank, train

import ckptptr


def main(framework: str, url: str, folder: str, options: dict[str, Any]) -> str:
    """Train, and return what was trained.

    Of the options, `apart` gives each rank a disk of its own, `dies_at` is the step of the kill, of rank
    `who`, and `sigterm_at` that of the SIGTERM.
    """
    meet()
    place = Path(folder, f"disk-{rank()}") if options.pop("apart", False) else Path(folder)
    in_save = kill(options.pop("dies_at", 0), options.pop("who", 1))
    trained = Trained(options.pop("sigterm_at", 0))
    with ckptptr.open(url) as checkpoints:
        return str(train(framework, trained, checkpoints, place, in_save, **options))


if __name__ == "__main__":
    said = json.dumps(main(*sys.argv[1:4], json.loads(sys.argv[4])))
    # The line end is in the same write: both ranks write to one pipe.
    print(f"rank {rank()}: {said}\n", end="", flush=True)
