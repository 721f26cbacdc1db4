"""Are the mutants killed? `python -m tests.prove.kill [WORD]`, or `make mutants`.

Each is applied to a copy of the package, never to the working tree; the worlds that are named with it then
have to find a broken rule. WORD: only the mutants whose rule has it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ckptptr
from tests.prove.mutants import MUTANTS, Mutant

PACKAGE = Path(ckptptr.__file__).parent
TESTS = Path(__file__).parents[1]
PATIENCE = 200
"""Seconds for one mutant."""


def applied(mutant: Mutant, package: Path) -> None:
    """Change the line in that copy of the package."""
    path = package / mutant.file
    text = path.read_text()
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.file} has this {text.count(mutant.old)} times: {mutant.old}")
    path.write_text(text.replace(mutant.old, mutant.new))


def fate(mutant: Mutant) -> str:
    """`killed` and by which rule; or `SURVIVED`."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(PACKAGE, Path(folder, "ckptptr"), ignore=shutil.ignore_patterns("__pycache__"))
        Path(folder, "tests").symlink_to(TESTS)
        applied(mutant, Path(folder, "ckptptr"))
        worlds = (argument for world in mutant.worlds for argument in ("--world", world))
        try:
            done = subprocess.run(
                [sys.executable, "-m", "tests.prove", "--workers", "1", *worlds],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": folder},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"SURVIVED {PATIENCE} s"
    lines = done.stdout.splitlines()
    if not lines or not (lines[-1].startswith("Again: ") or done.returncode == 0):
        return f"DOES NOT RUN\n{done.stdout}{done.stderr}"
    if done.returncode == 0:
        return "SURVIVED"
    return "killed by " + next(line for line in lines if line.partition(":")[0] in mutant.worlds)


def main() -> int:
    word = " ".join(sys.argv[1:])
    chosen = [mutant for mutant in MUTANTS if word in mutant.rule]
    killed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for mutant, how in zip(chosen, pool.map(fate, chosen), strict=True):
            killed += how.startswith("killed")
            print(f"{mutant.rule}\n    {how}", flush=True)
    print(f"{killed} of {len(chosen)} mutants are killed")
    return int(killed < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
