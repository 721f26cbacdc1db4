"""However a process ends, its background save is confirmed or reported: never lost in silence."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ckptptr

PRELUDE = """
import atexit, multiprocessing, os, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import ckptptr
from ckptptr.errors import OutcomeUnknownError, StoreUnavailableError
from ckptptr.stores.local.store import LocalStore

folder, files, store = sys.argv[1:]
checkpoints = ckptptr.open(folder, attempt=0)
under_way = threading.Event()
upload = LocalStore.upload

def slow(self, key, blocks):
    if not under_way.is_set():
        under_way.set()
        time.sleep(0.3)  # the main thread has ended long since
    if store == "hangs":
        threading.Event().wait()
    if store == "fails":
        raise StoreUnavailableError("no answer")
    return upload(self, key, blocks)

LocalStore.upload = slow

def save(step=7):
    return checkpoints.save(files, step=step, block=False)

def run_in(kind, act=save, **more):
    worker = kind(target=act, **more)
    worker.start()
    return worker

def once_main_has_ended():
    while not threading._SHUTTING_DOWN:
        time.sleep(0.01)
    save()

fork = multiprocessing.get_context("fork").Process
"""

ENDINGS = {
    "main returns": (0, "save()"),
    "an exception": (1, "save(); 1 / 0"),
    "sys.exit": (3, "save(); sys.exit(3)"),
    "Ctrl-C": (-signal.SIGINT, "save(); os.kill(os.getpid(), signal.SIGINT)"),
    "saved by a daemon thread": (0, "run_in(threading.Thread, daemon=True).join()"),
    "saved by a thread after main has ended": (
        0,
        "checkpoints.close(); run_in(threading.Thread, once_main_has_ended)",
    ),
    "saved by an executor after main has ended": (0, "ThreadPoolExecutor(1).submit(once_main_has_ended)"),
    "saved by atexit": (0, "atexit.register(save)"),
    "saved by a forked worker": (0, "run_in(fork).join()"),
    "saved by a forked worker while its parent saves": (
        0,
        """
        save(6)
        under_way.wait()
        run_in(fork).join()
        """,
    ),
    "saved by a forked worker whose parent has saved": (
        0,
        """
        save(6).exception()
        run_in(fork).join()
        """,
    ),
    "a fork that waits for its parent's save": (
        0,
        """
        def wait():
            checkpoints.wait()
            assert type(saved.exception()) is OutcomeUnknownError
            os._exit(5)

        saved = save()
        worker = run_in(fork, wait)
        worker.join()
        assert worker.exitcode == 5
        """,
    ),
    "SIGTERM in the block": (
        1,
        """
        with checkpoints.on_preemption():
            save()
            os.kill(os.getpid(), signal.SIGTERM)
        """,
    ),
}


def ended(
    tmp_path: Path, body: str, *, store: str = "slow", deadline: float = 30
) -> tuple[int, str, set[int | None]]:
    """How a process ends that runs `body`: its exit code, its log, and the steps that LATEST names."""
    folder, files = tmp_path / "run", tmp_path / "files"
    files.mkdir()
    for number in range(20):  # enough for threads of their own
        (files / str(number)).write_text("state")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRELUDE + textwrap.dedent(body), folder, files, store],
        check=False,
        env={"CKPTPTR_EXIT_DEADLINE": str(deadline)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    history = ckptptr.open(folder, read_only=True).history()
    return done.returncode, done.stderr, {checkpoint.step for checkpoint in history}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_save_that_is_under_way_when_the_process_ends_is_confirmed(tmp_path: Path, ending: str) -> None:
    code, body = ENDINGS[ending]
    returncode, log, steps = ended(tmp_path, body)
    assert (returncode, 7 in steps) == (code, True), log
    assert "fail" not in log
    assert "before its last" not in log


@pytest.mark.parametrize(
    "ending",
    [
        "main returns",
        "saved by a thread after main has ended",
        "saved by an executor after main has ended",
        "saved by atexit",
        "saved by a forked worker whose parent has saved",
        "SIGTERM in the block",
    ],
)
def test_or_its_failure_is_in_the_log(tmp_path: Path, ending: str) -> None:
    code, body = ENDINGS[ending]
    returncode, log, steps = ended(tmp_path, body, store="fails")
    assert (returncode, steps) == (code, set()), log
    assert "a background save failed: no answer\n" in log


@pytest.mark.parametrize(
    ("body", "deadline"),
    [
        pytest.param("save()", 0.5, id="the deadline"),
        pytest.param(
            "save(); threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()",
            30,
            id="Ctrl-C during the wait",
        ),
    ],
)
def test_what_the_process_does_not_wait_for_any_more_is_said_once(
    tmp_path: Path, body: str, deadline: float
) -> None:
    returncode, log, steps = ended(tmp_path, body, store="hangs", deadline=deadline)
    assert (returncode, steps) == (0, set())
    assert log == "the process ends before its last background save is done\n"


def test_a_kill_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    body = """
    save(6).result()
    under_way.clear()
    with open(files + "/0", "w") as file:
        file.write("changed")
    save()
    os.kill(os.getpid(), signal.SIGTERM)
    """
    assert ended(tmp_path, body) == (-signal.SIGTERM, "", {6})
