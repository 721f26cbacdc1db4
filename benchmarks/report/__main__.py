"""`python -m benchmarks.report FOLDER` writes the tables anew from the `results.json` in it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.report import write

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write(json.loads((folder / "results.json").read_text()), folder)
