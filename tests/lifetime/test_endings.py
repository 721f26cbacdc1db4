"""However a process ends, its background save is confirmed or reported: never lost in silence."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

import ckptptr
from tests.lifetime.conftest import OnS3
from tests.sampling import sampled
from tests.servers.proxy import Rule

PRELUDE = """
import atexit, multiprocessing, os, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
import ckptptr
from ckptptr.errors import OutcomeUnknownError, StoreUnavailableError
from ckptptr.stores.wrappers.stoppable import Stoppable

signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
url, files, store = sys.argv[1:]
checkpoints = ckptptr.open(url, attempt=0)
parts = checkpoints.parts(0, 1)
under_way = threading.Event()
upload = Stoppable.upload

def slow(self, key, blocks):
    if not under_way.is_set():
        under_way.set()
        time.sleep(0.3)  # the main thread has ended long since
    if store == "hangs":
        threading.Event().wait()
    if store == "fails":
        raise StoreUnavailableError("no answer")
    return upload(self, key, blocks)

Stoppable.upload = slow

def save(step=7):
    return checkpoints.save(files, step=step, block=False)

def save_part(step=7):
    return parts.save(files, step=step, block=False)

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

SWEEPING = """
is_sweeping = threading.Event()
delete = Stoppable.delete

def slowly(self, keys):
    is_sweeping.set()
    time.sleep(1)  # the main thread has ended long since, and the save has published
    return delete(self, keys)

Stoppable.delete = slowly
for step in range(6):
    checkpoints.save(b"state", step=step)
is_sweeping.wait()
"""

ENDINGS = {
    "main returns": (0, "save()"),
    "main returns while a sweep is under way": (0, f"{SWEEPING}save()"),
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
    "a part": (0, "save_part()"),
    "a part saved by atexit": (0, "atexit.register(save_part)"),
    "a part saved by a forked worker while its parent saves": (
        0,
        """
        save_part(6)
        under_way.wait()
        run_in(fork, save_part).join()
        """,
    ),
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


def ran(
    tmp_path: Path,
    body: str,
    *,
    url: str,
    store: str = "slow",
    environ: Mapping[str, str] = MappingProxyType({}),
) -> tuple[int, str]:
    """How a process ends that runs `body`, and its log."""
    files = tmp_path / "files"
    files.mkdir()
    for number in range(20):  # enough for threads of their own
        (files / str(number)).write_text("state")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PRELUDE + textwrap.dedent(body), url, files, store],
        check=False,
        env={"CKPTPTR_EXIT_DEADLINE": "30", **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


def ended(
    tmp_path: Path, body: str, *, store: str = "slow", deadline: float = 30
) -> tuple[int, str, set[int | None]]:
    """The same on a disk, and the steps that LATEST names."""
    url, environ = str(tmp_path / "run"), {"CKPTPTR_EXIT_DEADLINE": str(deadline)}
    code, log = ran(tmp_path, body, url=url, store=store, environ=environ)
    return code, log, {checkpoint.step for checkpoint in ckptptr.open(url, read_only=True).history()}


@pytest.mark.pythons
@pytest.mark.parametrize("ending", sampled(ENDINGS))
def test_a_save_that_is_under_way_when_the_process_ends_is_confirmed(tmp_path: Path, ending: str) -> None:
    code, body = ENDINGS[ending]
    returncode, log, steps = ended(tmp_path, body)
    assert (returncode, 7 in steps) == (code, True), log
    assert "fail" not in log
    assert "before its last" not in log


@pytest.mark.pythons
@pytest.mark.parametrize("ending", sampled(ENDINGS))
def test_so_is_one_on_a_slow_s3(tmp_path: Path, ending: str, on_s3: OnS3) -> None:
    code, body = ENDINGS[ending]
    on_s3.proxy.add(Rule(method="PUT", path="/data/", delay=0.3, times=None))
    returncode, log = ran(tmp_path, body, url=on_s3.url, environ=on_s3.environ)
    assert (returncode, 7 in on_s3.steps()) == (code, True), log
    assert "fail" not in log
    assert "before its last" not in log


@pytest.mark.pythons
@pytest.mark.parametrize(
    "ending",
    sampled(
        [
            "main returns",
            "saved by a thread after main has ended",
            "saved by an executor after main has ended",
            "saved by atexit",
            "saved by a forked worker whose parent has saved",
            "SIGTERM in the block",
        ]
    ),
)
def test_or_its_failure_is_in_the_log(tmp_path: Path, ending: str) -> None:
    code, body = ENDINGS[ending]
    returncode, log, steps = ended(tmp_path, body, store="fails")
    assert (returncode, steps) == (code, set()), log
    assert re.search("^the save failed after .* s: no answer$", log, re.MULTILINE)


@pytest.mark.pythons
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


@pytest.mark.pythons
def test_nor_for_a_sweep_while_the_last_save_hangs(tmp_path: Path) -> None:
    returncode, log, steps = ended(tmp_path, f"{SWEEPING}store = 'hangs'; save()", deadline=0.5)
    assert (returncode, 7 in steps) == (0, False)
    assert log == "the process ends before its last background save is done\n"


@pytest.mark.pythons
@pytest.mark.parametrize(
    ("code", "end"), [(-signal.SIGTERM, "os.kill(os.getpid(), signal.SIGTERM)"), (4, "os._exit(4)")]
)
def test_an_end_that_waits_for_nothing_leaves_the_checkpoint_before(
    tmp_path: Path, code: int, end: str
) -> None:
    body = f"""
    save(6).result()
    under_way.clear()
    with open(files + "/0", "w") as file:
        file.write("changed")
    save()
    {end}
    """
    assert ended(tmp_path, body) == (code, "", {6})
