"""Work that nobody waits for is done all the same, and what goes wrong with it is said."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import subprocess
import sys
import threading
import weakref

import pytest

from ckptptr.lifetime.background import Background


def test_work_runs_in_order_and_wait_waits_for_all_of_it() -> None:
    done: list[int] = []
    background = Background()
    for number in range(5):
        background.run("work", lambda number=number: done.append(number))
    background.wait()
    assert done == [0, 1, 2, 3, 4]
    background.close()


def test_whatever_fails_is_a_warning_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    background = Background()

    def fail() -> None:
        raise RuntimeError("cannot schedule new futures")

    with caplog.at_level(logging.WARNING, logger="ckptptr"):
        background.run("sweep", fail)
        background.run("forward-copy", lambda: done.append("copied"))
        background.close()
    assert done == ["copied"]
    assert "the sweep failed and will be done another time: cannot schedule new futures" in caplog.text


@pytest.mark.pythons
def test_of_an_owner_that_is_gone_the_end_of_the_process_keeps_nothing() -> None:
    background = Background()
    background.run("sweep", lambda: None)
    background.close()
    ending = weakref.ref(background._ending)
    del background
    gc.collect()
    assert ending() is None


AT_EXIT = """
import time
from concurrent.futures import ThreadPoolExecutor
from ckptptr.lifetime.background import Background

def work():
    time.sleep(0.3)  # the main thread has ended long since
    with ThreadPoolExecutor(2) as pool:
        print(sum(pool.map(abs, [1, -2, 3])))

background = Background()
background.run("forward-copy", work)
"""


@pytest.mark.skipif((3, 12) <= sys.version_info < (3, 12, 3), reason="no thread starts then: cpython#113964")
def test_what_was_begun_is_finished_when_the_process_ends_and_may_still_start_threads() -> None:
    done = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("6\n", "")


ONCE_THE_PROCESS_ENDS = """
from ckptptr.lifetime.background import Background
from ckptptr.lifetime.ending import before_executors_close

before_executors_close(lambda: Background().run("sweep", lambda: print("swept")))
"""


def test_work_that_comes_when_the_process_already_ends_is_done_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ONCE_THE_PROCESS_ENDS], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("swept\n", "")


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_does_not_wait_for_what_its_parent_still_does() -> None:
    """As the workers of a data loader are; at their end they do what `threading` was told to do then."""
    background, may_end = Background(), threading.Event()
    background.run("work", may_end.wait)
    forked = multiprocessing.get_context("fork").Process(target=int)
    forked.start()
    forked.join(20)
    ended = forked.exitcode
    forked.kill()
    may_end.set()
    background.close()
    assert ended == 0
