"""A machine that starts no more threads: what can go on without them does, the rest is an error of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import ckptptr
from tests.lifetime.conftest import OnS3

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")

PROGRAM = """
import pathlib, sys
import ckptptr
from tests.lifetime.no_threads import no_more_threads

url, folder, since = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
files = folder / "files"
files.mkdir()
for number in range(20):
    (files / str(number)).write_text("state")
(files / "large").write_bytes(bytes(20 << 20))

def tried(what, act):
    try:
        print(what, act())
    except ckptptr.CkptptrError as error:
        print(what, type(error).__name__)

def write():
    with checkpoints.writer("model") as file:
        file.write(b"state")

def read():
    with checkpoints.open("large") as file:
        return len(file.read())

def open_it():
    global checkpoints
    checkpoints = ckptptr.open(url, attempt=0)

def save(step, **more):
    (files / "0").write_text(f"state {step}")
    return checkpoints.save(files, step=step, **more)

if since == "the start":
    no_more_threads()
    tried("open", open_it)
    tried("open", open_it)
    sys.exit()
open_it()
if since == "a save":
    save(0)
no_more_threads()
tried("save", lambda: save(1).step)
tried("restore", lambda: checkpoints.restore(folder / "restored").name)
tried("in the background", lambda: save(2, block=False).result().step)
tried("write", write)
tried("read", read)
with checkpoints.on_preemption():
    tried("under on_preemption", lambda: save(3).step)
tried("close", checkpoints.close)
"""

WITHOUT = """save 1
restore restored
in the background 2
write LocalMachineError
read 20971520
under on_preemption 3
close None
"""


def ended(tmp_path: Path, url: str, since: str, environ: Mapping[str, str]) -> tuple[str, int, str]:
    """What the process that runs the program says, and how it ends. It waits for nothing for ever."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, url, tmp_path, since],
        check=False,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout, done.returncode, done.stderr


@pytest.mark.pythons
@pytest.mark.parametrize("since", ["opening", "a save"])
def test_on_a_disk_all_but_a_writer_goes_on_without_threads(tmp_path: Path, since: str) -> None:
    said, code, log = ended(tmp_path, str(tmp_path / "run"), since, {})
    assert (said, code) == (WITHOUT, 0), log
    assert {each.step for each in ckptptr.open(tmp_path / "run", read_only=True).history()} == {1, 2, 3}


@pytest.mark.parametrize("engine", ["fsspec", "auto"])
@pytest.mark.parametrize("since", ["opening", "a save"])
def test_on_s3_as_well(tmp_path: Path, since: str, engine: str, on_s3: OnS3) -> None:
    said, code, log = ended(tmp_path, on_s3.url, since, {**on_s3.environ, "CKPTPTR_ENGINE": engine})
    assert (said, code) == (WITHOUT, 0), log
    assert on_s3.steps() == {1, 2, 3}


def test_a_store_that_needs_a_thread_of_its_own_cannot_be_opened_and_says_so(
    tmp_path: Path, on_s3: OnS3
) -> None:
    said, code, log = ended(tmp_path, on_s3.url, "the start", on_s3.environ)
    assert (said, code) == ("open LocalMachineError\n" * 2, 0), log
