"""SIGTERM ends a block after one last save, by a deadline, whatever hangs; LATEST stays on a whole one."""

from __future__ import annotations

import contextvars
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from ckptptr.checkpoints import Checkpoint
from ckptptr.clock import SystemClock
from ckptptr.errors import AccessDeniedError, InvalidArgumentError, PreemptedError, StoreUnavailableError
from ckptptr.session.preemption import Preemption
from ckptptr.testing.faults import Fault
from tests.helpers import Process, World
from tests.sampling import sampled

Save = Callable[[], None]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(autouse=True)
def the_handler_is_put_back() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.fixture
def never() -> Iterator[Save]:
    """A last save that must not be made. What it raised nobody would see."""
    calls: list[None] = []
    yield lambda: calls.append(None)
    assert not calls


class Gate:
    """Something that a request comes to, and waits at."""

    def __init__(self) -> None:
        self._reached, self._opened = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self._reached.set()
        assert self._opened.wait(30)

    def reached(self) -> None:
        assert self._reached.wait(30)

    def open(self) -> None:
        """Let it go on, and see what comes of it."""
        self._opened.set()
        for thread in threading.enumerate():
            if thread.name == "ckptptr-save":
                thread.join(30)


def sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def once_reached(gate: Gate) -> threading.Thread:
    """Send SIGTERM when a request has come to the gate."""
    thread = threading.Thread(target=lambda: (gate.reached(), sigterm()))
    thread.start()
    return thread


def train(run: Process, *, until: int = 100, told_to_end_after: int | None = None) -> None:
    for step in range(1, until):
        run.save({"model": f"step {step}"}, step=step)
        if step == told_to_end_after:
            sigterm()


def test_the_signal_interrupts_the_loop_and_the_last_save_is_confirmed(world: World) -> None:
    run, steps = world.process(0), []

    def compute() -> None:
        for step in range(1, 100):
            steps.append(step)
            if step == 8:
                sigterm()

    with (
        pytest.raises(PreemptedError, match=r"by SIGTERM; the last save is confirmed, LATEST is on step 8"),
        run.checkpoints.on_preemption(lambda: run.save({"model": "now"}, step=steps[-1])),
    ):
        compute()
    assert steps[-1] == 8
    assert world.process(0).restore() == {"model": "now"}


def test_without_a_save_of_its_own_the_block_just_ends(world: World) -> None:
    run = world.process(0)
    with (
        pytest.raises(PreemptedError, match="by SIGTERM; no save was under way"),
        run.checkpoints.on_preemption(),
    ):
        train(run, told_to_end_after=3)
    assert world.steps()[0] == 3


def test_a_block_that_no_signal_ends_does_nothing(world: World, never: Save) -> None:
    run = world.process(0)
    with run.checkpoints.on_preemption(never):
        train(run, until=4)
    assert world.steps()[0] == 3
    train(run, until=2)


def test_an_error_of_the_block_that_no_signal_caused_passes_through(world: World) -> None:
    with pytest.raises(ZeroDivisionError), world.process(0).checkpoints.on_preemption():
        print(1 / 0)


def test_a_save_that_is_under_way_is_finished_and_is_the_last_one(world: World, never: Save) -> None:
    run, then = world.process(0), []

    def train_to_the_end() -> None:
        try:
            train(run)
        finally:
            then.append(world.steps())

    run.before("replace", "LATEST", sigterm)
    with (
        pytest.raises(PreemptedError, match="confirmed, LATEST is on step 2"),
        run.checkpoints.on_preemption(never),
    ):
        train_to_the_end()
    assert then == [[2, 1]]  # it was finished before the loop unwound


def test_a_loop_that_asks_between_its_steps_is_not_interrupted_within_one(world: World) -> None:
    run, steps = world.process(0), []

    def compute(guard: Preemption) -> None:
        for step in range(1, 100):
            if step == 8:
                sigterm()
            steps.append(step)  # the second half of a step
            guard.check()

    with (
        pytest.raises(PreemptedError, match="LATEST is on step 8"),
        run.checkpoints.on_preemption(
            lambda: run.save({"model": "8"}, step=steps[-1]), interrupt=False
        ) as guard,
    ):
        compute(guard)
    assert steps[-1] == 8


def test_a_save_ends_such_a_loop_as_well(world: World, never: Save) -> None:
    run = world.process(0)

    def compute() -> None:
        for step in range(1, 100):
            if step == 4:
                sigterm()
            run.save({"model": str(step)}, step=step)

    confirmed = pytest.raises(PreemptedError, match="confirmed, LATEST is on step 4")
    with confirmed, run.checkpoints.on_preemption(never, interrupt=False):
        compute()


@pytest.mark.parametrize("block", [True, False])
def test_so_does_one_in_the_background_before_it_takes_anything(world: World, block: bool) -> None:
    checkpoints = world.process(0).checkpoints

    def save(step: int, block: bool) -> object:
        return checkpoints.save(world.folder({"model": str(step)}), step=step, block=block)

    def compute() -> None:
        for step in range(1, 100):
            if step == 4:
                sigterm()
            save(step, block=False)

    confirmed = pytest.raises(PreemptedError, match="confirmed, LATEST is on step 77")
    with confirmed, checkpoints.on_preemption(lambda: save(77, block), interrupt=False):
        compute()
    assert 4 not in world.steps()


def test_a_save_in_the_background_is_finished_and_the_blocks_own_is_made_after_it(world: World) -> None:
    run, gate = world.process(0), Gate()
    run.before("create", "manifests", gate)

    def compute() -> None:
        run.checkpoints.save(world.folder({"model": "5"}), step=5, block=False)
        gate.reached()
        threading.Timer(0.1, gate.open).start()
        sigterm()

    with (
        pytest.raises(PreemptedError, match="confirmed, LATEST is on step 7"),
        run.checkpoints.on_preemption(lambda: run.save({"model": "7"}, step=7)),
    ):
        compute()
    assert world.steps() == [7, 5]


def test_without_one_the_save_in_the_background_is_the_last(world: World) -> None:
    run, gate = world.process(0), Gate()
    run.before("create", "manifests", gate)

    def compute() -> None:
        for step in (5, 6):
            run.checkpoints.save(world.folder({"model": str(step)}), step=step, block=False)
        gate.reached()
        threading.Timer(0.1, gate.open).start()
        sigterm()

    with (
        pytest.raises(PreemptedError, match="confirmed, LATEST is on step 6"),
        run.checkpoints.on_preemption(),
    ):
        compute()


def test_a_part_that_waits_for_other_ranks_in_the_background_is_waited_for_until_the_deadline(
    world: World,
) -> None:
    run = world.process(0, incarnation="r1")
    run.checkpoints._session.clock = SystemClock()
    done: list[Future[Checkpoint]] = []

    def compute() -> None:
        parts = run.checkpoints.parts(0, 2, deadline=5)
        done.append(parts.save(world.folder({"rank0": "0"}), step=1, block=False))
        sigterm()

    with (
        pytest.raises(PreemptedError, match="of its parts was not done by the deadline"),
        run.checkpoints,
        run.checkpoints.on_preemption(deadline=0.3),
    ):
        compute()
    assert not done[0].done()


def test_a_save_of_another_thread_is_waited_for_too(world: World, never: Save) -> None:
    run, gate = world.process(0), Gate()
    run.before("create", "manifests", gate)
    saver = threading.Thread(target=lambda: run.save({"model": "theirs"}, step=5))

    def compute() -> None:
        saver.start()
        gate.reached()
        threading.Timer(0.1, gate.open).start()  # when the main thread waits
        sigterm()

    with (
        pytest.raises(PreemptedError, match="confirmed, LATEST is on step 5"),
        run.checkpoints.on_preemption(never),
    ):
        compute()
    saver.join()


def test_a_save_of_another_thread_that_hangs_holds_neither_thread(world: World, never: Save) -> None:
    run, gate, errors = world.process(0), Gate(), []
    run.save({"model": "one"}, step=1)
    run.before("create", "manifests", gate)

    def save() -> None:
        try:
            run.save({"model": "theirs"}, step=5)
        except PreemptedError as error:
            errors.append(error)

    saver = threading.Thread(target=save)

    def compute() -> None:
        saver.start()
        gate.reached()
        sigterm()

    with (
        pytest.raises(PreemptedError, match=r"was abandoned after .*, LATEST stays on step 1"),
        run.checkpoints.on_preemption(never, deadline=0.3),
    ):
        compute()
    saver.join(10)
    assert len(errors) == 1
    gate.open()


@pytest.mark.parametrize(
    ("when", "op", "key"),
    [("before", "upload", "data"), ("before", "create", "manifests"), ("after", "create", "manifests")],
)
def test_a_save_that_hangs_is_abandoned_and_never_moves_latest_afterwards(
    world: World, when: str, op: str, key: str, never: Save
) -> None:
    run, gate = world.process(0), Gate()
    run.save({"model": "one"}, step=1)
    getattr(run, when)(op, key, gate)
    before = world.latest()
    sender = once_reached(gate)
    with (
        pytest.raises(PreemptedError, match=r"was abandoned after 0\.3 s, LATEST stays on step 1$"),
        run.checkpoints.on_preemption(never, deadline=0.3),
    ):
        run.save({"model": "two"}, step=2)
    requests = len(run.store.log)
    gate.open()
    sender.join()
    assert world.latest() == before
    assert len(run.store.log) <= requests + 1  # the one that was under way
    with pytest.raises(PreemptedError):
        run.save({"model": "three"}, step=3)
    assert world.process(1).restore() == {"model": "one"}


def test_where_the_swap_itself_hangs_it_is_said_that_it_may_land(world: World) -> None:
    run, gate = world.process(0), Gate()
    run.save({"model": "one"}, step=1)
    run.before("replace", "LATEST", gate)
    sender = once_reached(gate)
    with (
        pytest.raises(PreemptedError, match="LATEST stays on step 1, unless its very last request still"),
        run.checkpoints.on_preemption(deadline=0.3),
    ):
        run.save({"model": "two"}, step=2)
    gate.open()
    sender.join()


def test_a_last_save_that_hangs_before_it_reaches_us_is_abandoned_too(world: World) -> None:
    run, gate = world.process(0), Gate()
    with (
        pytest.raises(PreemptedError, match="the last save was abandoned"),
        run.checkpoints.on_preemption(gate, deadline=0.3),
    ):
        sigterm()
    gate.open()


def test_a_restore_is_abandoned_at_once_and_nothing_is_saved_over_what_it_was_to_find(
    world: World, never: Save
) -> None:
    world.process(0).save({"model": "one"}, step=1)
    world.delete_latest()
    run, gate = world.process(1), Gate()
    run.before("download", "model", gate)
    sender, began = once_reached(gate), time.monotonic()
    with (
        pytest.raises(PreemptedError, match="the restore was abandoned"),
        run.checkpoints.on_preemption(never, deadline=60),
    ):
        run.restore()
    assert time.monotonic() - began < 30
    gate.open()
    sender.join()
    assert world.seen().pointer is None  # it did not adopt either


def test_code_that_swallows_the_error_meets_it_again_at_its_next_save_and_at_the_end(
    world: World, never: Save
) -> None:
    run, met = world.process(0), []

    def train_anyhow() -> None:
        for step in (1, 2, 3):
            try:
                run.save({"model": f"step {step}"}, step=step)
                if step == 1:
                    sigterm()
            except Exception:  # noqa: BLE001 - people write this
                met.append(step)

    with (
        pytest.raises(PreemptedError, match="LATEST is on step 3"),
        run.checkpoints.on_preemption(never),
    ):
        train_anyhow()
    assert met == [1, 2, 3]


def test_a_last_save_that_fails_is_said_and_is_the_cause(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    run = world.process(0, Fault(op="upload", nth=2, times=99))
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(PreemptedError) as caught,
        run.checkpoints.on_preemption(lambda: run.save({"model": "x"}, step=2), deadline=7),
    ):
        train(run, told_to_end_after=1)
    assert isinstance(caught.value.__cause__, StoreUnavailableError)
    first, last = [r.message for r in caplog.records if "SIGTERM" in r.message]
    assert "told to end by SIGTERM; 7.0 s are left until the deadline" in first
    assert "the last save failed (injected before the request)" in last


@pytest.mark.parametrize("when", ["before the signal", "after it"])
def test_a_background_save_that_failed_does_not_cost_the_last_save(
    world: World, caplog: pytest.LogCaptureFixture, when: str
) -> None:
    run, gate = world.process(0, Fault(op="upload", error=AccessDeniedError("refused"))), Gate()
    run.before("upload", "", gate)

    def compute() -> None:
        saved = run.checkpoints.save(world.folder({"model": "5"}), step=5, block=False)
        if when == "before the signal":
            gate.open()
            saved.exception(10)
        else:
            threading.Timer(0.1, gate.open).start()
        sigterm()

    with (
        pytest.raises(PreemptedError, match="confirmed, LATEST is on step 7"),
        run.checkpoints.on_preemption(lambda: run.save({"model": "7"}, step=7)),
    ):
        compute()
    assert "a background save failed: refused" in caplog.text
    run.checkpoints.wait()  # it was said


def test_a_last_save_in_the_background_that_fails_is_said_and_is_the_cause(world: World) -> None:
    run = world.process(0, Fault(op="upload", times=99))
    with (
        pytest.raises(PreemptedError, match="the last save failed") as caught,
        run.checkpoints.on_preemption(lambda: run.checkpoints.save(b"x", step=2, block=False)),
    ):
        sigterm()
    assert isinstance(caught.value.__cause__, StoreUnavailableError)


def test_without_one_a_background_save_that_fails_is_said_and_is_the_cause(world: World) -> None:
    run = world.process(0, Fault(op="upload", times=99))

    def compute() -> None:
        run.checkpoints.save(b"x", step=2, block=False)
        sigterm()

    with (
        pytest.raises(PreemptedError, match="the last save failed") as caught,
        run.checkpoints.on_preemption(),
    ):
        compute()
    assert isinstance(caught.value.__cause__, StoreUnavailableError)


def test_more_signals_are_ignored_and_said(world: World, caplog: pytest.LogCaptureFixture) -> None:
    run = world.process(0)
    run.before("upload", "", sigterm)
    run.before("replace", "LATEST", sigterm)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(PreemptedError, match="LATEST is on step 1"),
        run.checkpoints.on_preemption(lambda: run.save({"model": "x"}, step=1)),
    ):
        sigterm()
    assert "told so 1 times more" in caplog.text


def test_the_handler_that_was_there_before_does_its_part_after_the_last_save(world: World) -> None:
    run, seen = world.process(0), []

    def leave(number: int, _: object) -> None:
        seen.append((number, world.steps()))
        raise SystemExit(0)

    stock = signal.signal(signal.SIGTERM, leave)
    try:
        with (
            pytest.raises(PreemptedError) as caught,
            run.checkpoints.on_preemption(lambda: run.save({"model": "x"}, step=4)),
        ):
            sigterm()
        assert seen == [(signal.SIGTERM, [4])]
        assert isinstance(caught.value.__cause__, SystemExit)
        with pytest.raises(SystemExit):  # after the block all is as before
            sigterm()
    finally:
        signal.signal(signal.SIGTERM, stock)


def test_the_last_save_sees_the_context_of_its_block(world: World) -> None:
    task: contextvars.ContextVar[str] = contextvars.ContextVar("task")
    task.set("of flytekit")
    seen: list[str] = []
    with (
        pytest.raises(PreemptedError),
        world.process(0).checkpoints.on_preemption(lambda: seen.append(task.get())),
    ):
        sigterm()
    assert seen == ["of flytekit"]


@pytest.mark.parametrize("when", ["it is put in", "it is put back"])
def test_a_signal_that_comes_while_the_handler_changes_does_not_leave_it_behind(
    world: World, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    real, calls = signal.signal, []

    def change(number: int, handler: object) -> object:
        if when == "it is put back" and len(calls) == 1:
            sigterm()
        before = real(number, handler)  # type: ignore[arg-type]
        calls.append(number)
        if when == "it is put in" and len(calls) == 1:
            sigterm()
        return before

    monkeypatch.setattr("ckptptr.session.preemption.signal.signal", change)
    reached = []
    with pytest.raises(PreemptedError), world.process(0).checkpoints.on_preemption():
        reached.append(when)
    assert reached == (["it is put back"] if when == "it is put back" else [])


def test_another_signal_can_be_meant(world: World) -> None:
    with (
        pytest.raises(PreemptedError, match="by SIGUSR2"),
        world.process(0).checkpoints.on_preemption(signals=[signal.SIGUSR2]),
    ):
        os.kill(os.getpid(), signal.SIGUSR2)
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"deadline": 0}, "deadline is 0"),
        ({"deadline": float("nan")}, "deadline is nan"),
        ({"signals": [signal.SIGTERM, signal.SIGKILL]}, "SIGKILL.* cannot be handled"),
        ({"signals": [12345]}, "12345 cannot be handled"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(world: World, wrong: dict, words: str) -> None:  # type: ignore[type-arg]
    checkpoints = world.process(0).checkpoints
    with pytest.raises(InvalidArgumentError, match=words), checkpoints.on_preemption(**wrong):
        pytest.fail("it was not refused")
    with checkpoints.on_preemption():
        pass


def test_a_block_inside_a_block_of_the_same_checkpoints_is_refused(world: World) -> None:
    checkpoints = world.process(0).checkpoints
    with checkpoints.on_preemption(), pytest.raises(InvalidArgumentError, match="in force already"):
        checkpoints.on_preemption()


def test_outside_of_the_main_thread_it_is_refused(world: World) -> None:
    errors: list[BaseException] = []

    def enter() -> None:
        try:
            with world.process(0).checkpoints.on_preemption():
                pass
        except InvalidArgumentError as error:
            errors.append(error)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert "in the main thread only" in str(errors[0])


PROGRAM = """
import asyncio, concurrent.futures, os, signal, sys, threading, time
from pathlib import Path
import ckptptr
from ckptptr.nodes.plain import node_at
from ckptptr.session.session import Session
from ckptptr.stores.memory import MemoryStore

def for_ever():
    os.read(os.pipe()[0], 1)

class Hanging(MemoryStore):
    hangs = False
    def upload(self, key, blocks):
        if self.hangs:
            os.write(1, b"hangs\\n")
            for_ever()
        return super().upload(key, blocks)

store = Hanging()
session = Session(store, node_at(store, "b/run", attempt=0, read_only=False))
checkpoints = ckptptr.Checkpoints(session)
folder = Path(sys.argv[1])

def change_files(text):
    for name in "abcdefgh":
        (folder / name).write_text(text)
"""

HANGS = {
    "an upload of many files": "store.hangs = True; change_files('two'); checkpoints.save(folder, step=2)",
    "an upload of one file": "store.hangs = True; checkpoints.save(b'x', step=2)",
    "the background": "session.background.run('work', for_ever); os.write(1, b'hangs\\n'); time.sleep(60)",
    "a thread of an event loop": """
def asynchronous():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(loop.run_in_executor(None, for_ever))
store.upload = lambda key, blocks: (os.write(1, b"hangs\\n"), asynchronous())
checkpoints.save(b"x", step=2)
""",
}


@pytest.mark.pythons
@pytest.mark.parametrize("what", sampled(HANGS))
def test_whatever_hangs_the_process_is_gone_soon_after_the_deadline(what: str, tmp_path: Path) -> None:
    block = f"with checkpoints.on_preemption(deadline=1.0):\n{_indented(HANGS[what])}"
    program = f"{PROGRAM}\nchange_files('one'); checkpoints.save(folder, step=1)\n{block}"
    with _python(program, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        _, said = process.communicate(timeout=20)
        assert time.monotonic() - began < 1 + 2
    assert process.returncode == 1  # by the exception
    assert "PreemptedError: this process is told to end by SIGTERM" in said
    if what != "the background":
        assert "was abandoned after 1.0 s, LATEST stays on step 1" in said


def test_a_forked_child_dies_of_its_sigterm_as_without_us(tmp_path: Path) -> None:
    program = f"""{PROGRAM}
with checkpoints.on_preemption():
    is_up, up = os.pipe()
    if (child := os.fork()) == 0:
        os.write(up, b"!")
        time.sleep(20)
        os._exit(0)
    os.read(is_up, 1)
    os.kill(child, signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    with _python(program, tmp_path) as process:
        assert process.communicate(timeout=20) == ("-15\n", "")


@pytest.mark.parametrize("whose", ["checkpoints", "ckptptr.Checkpoints(session)"])
def test_a_forked_child_makes_the_last_save_of_its_own_block(whose: str, tmp_path: Path) -> None:
    program = f"""{PROGRAM}
with checkpoints.on_preemption():
    if (child := os.fork()) == 0:
        checkpoints = {whose}
        try:
            with checkpoints.on_preemption(lambda: checkpoints.save(b"last", step=9)):
                os.kill(os.getpid(), signal.SIGTERM)
        except ckptptr.PreemptedError as error:
            print(error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
    with _python(program, tmp_path) as process:
        said = "by SIGTERM; the last save is confirmed, LATEST is on step 9\n"
        assert process.communicate(timeout=20)[0].endswith(said)
    assert process.returncode == 0


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.strip().splitlines())


@contextmanager
def _python(program: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
