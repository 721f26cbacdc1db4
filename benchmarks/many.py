"""Checkpoints of very many files: time and memory of each step, in a process of its own.

    python -m benchmarks.many 10000 100000 1000000              # on this machine's disk
    python -m benchmarks.many 100000 --url s3://bucket/many     # on an object store

Files of 100 bytes, 1000 in a folder. Memory is the highest resident size above what the process had before,
so it includes what Python keeps for reuse. A million files take about half an hour and 12 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ckptptr
from ckptptr.cli import main as command

MIB = 1 << 20
SIZE = 100
IN_A_FOLDER = 1000
STEPS = ("save", "restore", "show", "verify", "sweep")


def write(source: Path, files: int) -> None:
    for number in range(files):
        if number % IN_A_FOLDER == 0:
            folder = source / f"shard-{number // IN_A_FOLDER:04}"
            folder.mkdir(parents=True)
        _write(f"{folder}/item-{number % IN_A_FOLDER:04}.bin", number)


def change(source: Path) -> None:
    """One file of a hundred becomes another."""
    for folder in os.listdir(source):
        for number in range(0, IN_A_FOLDER, 100):
            _write(f"{source}/{folder}/item-{number:04}.bin", -number - 1)


def _write(path: str, number: int) -> None:
    with open(path, "wb", buffering=0) as file:
        file.write(b"%0*d" % (SIZE, number))


def _status(key: str) -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(key))


def measured(step: str, work: Callable[[], object]) -> None:
    """Print what one step takes, as a line of JSON."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before, began, cpu = _status("VmRSS"), time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(json.dumps([step, seconds, cpu, (_status("VmHWM") - before) / MIB]), flush=True)


def run(step: str, url: str, place: Path) -> None:
    """One step, in this process; what a first use imports is imported before."""
    with tempfile.TemporaryDirectory() as warm, ckptptr.open(Path(warm) / "run") as checkpoints:
        checkpoints.save(b"warm")
        checkpoints.restore(Path(warm) / "restored")
    source = place / "source"
    if step == "save":
        with ckptptr.open(url) as checkpoints:
            measured("save", lambda: checkpoints.save(source, step=1))
            change(source)
            measured("later save", lambda: checkpoints.save(source, step=2))
    elif step == "restore":
        with ckptptr.open(url) as checkpoints:
            measured("restore", lambda: checkpoints.restore(place / "restored"))
    else:
        options = ["--yes"] if step == "sweep" else []
        measured(step, lambda: command([step, *options, url], standalone_mode=False))


def table(files: int, url: str) -> None:
    place = Path(tempfile.mkdtemp(prefix="many-"))
    try:
        write(place / "source", files)
        at = f"{url.rstrip('/')}/{place.name}" if url else str(place / "run")
        for step in STEPS:
            arguments = [sys.executable, "-m", "benchmarks.many", "--step", step, "--url", at]
            done = subprocess.run([*arguments, str(place)], stdout=subprocess.PIPE, text=True, check=True)
            shutil.rmtree(place / "restored", ignore_errors=True)
            for line in done.stdout.splitlines():
                if line.startswith("["):
                    name, seconds, cpu, peak = json.loads(line)
                    print(f"| {files:,} | {name} | {seconds:.1f} | {cpu:.1f} | {peak:.0f} |", flush=True)
    finally:
        shutil.rmtree(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", help="how many")
    parser.add_argument("--url", default="", help="where the checkpoints are; by default on this disk")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        return run(asked.step, asked.url, Path(asked.files[0]))
    print("| files | step | seconds | CPU seconds | MiB |\n|---|---|---|---|---|")
    for files in asked.files:
        table(int(files), asked.url)
    return None


if __name__ == "__main__":
    main()
