"""Handlers of SIGTERM that a library installs inside an `on_preemption` block are seen, and called."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FrameType

import pytest

from ckptptr.errors import PreemptedError
from ckptptr.lifetime.main_thread import by_loop
from ckptptr.session.preemption import Preemption
from tests.helpers import World

LIBRARY = """
import signal, threading

class Composed:  # pytorch_lightning 2.6: trainer/connectors/signal_connector.py
    def __init__(self):
        self.found, self.received = signal.getsignal(signal.SIGTERM), False
        signal.signal(signal.SIGTERM, self)
    def __call__(self, number, frame):
        self.received = True
        print("the library was told", flush=True)
        if callable(self.found):
            self.found(number, frame)
    def put_back(self):
        signal.signal(signal.SIGTERM, self.found)

class JustInTime:  # transformers 5.24: trainer_jit_checkpoint.py
    def __init__(self):
        self.received = False
        self.found = signal.signal(signal.SIGTERM, self._sigterm_handler)
    def _sigterm_handler(self, number, frame):
        print("the library was told", flush=True)
        threading.Timer(0.05, self._request).start()
    def _request(self):
        self.received = True
    def put_back(self):
        signal.signal(signal.SIGTERM, self.found)
"""

TRAINING = """
import sys, time
import ckptptr
from library import Composed, JustInTime

folder, kind, first_save, interrupt = sys.argv[1:]
checkpoints = ckptptr.open(folder, attempt=0)
with checkpoints.on_preemption(lambda: checkpoints.save(b"x", step=77), interrupt=interrupt == "True"):
    trainer = globals()[kind]()
    for step in range(1, 1000):
        if step == int(first_save):
            checkpoints.save(b"x", step=step)
            print("ready", flush=True)
        if step == 3 and not int(first_save):
            print("ready", flush=True)
        time.sleep(0.02)
        if trainer.received:
            break
    trainer.put_back()
    print("the trainer returned", flush=True)
"""


def train(folder: Path, kind: str, *, first_save: int = 1, interrupt: bool = True) -> tuple[str, str]:
    """What a program says that is sent SIGTERM while it trains: on stdout, on stderr."""
    (folder / "library.py").write_text(LIBRARY)
    (folder / "training.py").write_text(TRAINING)
    arguments = [str(folder / "run"), kind, str(first_save), str(interrupt)]
    with subprocess.Popen(
        [sys.executable, str(folder / "training.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=30)
        finally:
            process.kill()
    return said


@pytest.mark.parametrize("kind", ["Composed", "JustInTime"])
def test_after_a_save_ours_is_in_force_again_and_theirs_is_called_after_the_last_save(
    kind: str, tmp_path: Path
) -> None:
    out, err = train(tmp_path, kind)
    assert "PreemptedError: this process is told to end by SIGTERM; the last save is confirmed" in err
    assert "LATEST is on step 77" in err
    assert out == "the library was told\n"
    assert err.count("another handler of SIGTERM was installed") == 1
    assert f"block: library.{kind}" in err


@pytest.mark.parametrize("kind", ["Composed", "JustInTime"])
def test_where_the_loop_goes_on_theirs_is_called_at_once_and_may_end_it(kind: str, tmp_path: Path) -> None:
    out, err = train(tmp_path, kind, interrupt=False)
    assert out == "the library was told\nthe trainer returned\n"
    assert "the last save is confirmed, LATEST is on step 77" in err


def test_before_the_first_save_a_handler_that_calls_ours_loses_nothing(tmp_path: Path) -> None:
    out, err = train(tmp_path, "Composed", first_save=0)
    assert out == "the library was told\n"  # once
    assert "the last save is confirmed, LATEST is on step 77" in err


class Library:
    """Code with a handler."""

    def __init__(self, raises: BaseException | None = None) -> None:
        self.raises = raises
        self.told = 0

    def handle(self, *_: object) -> None:
        self.told += 1
        if self.raises:
            raise self.raises

    def install(self) -> None:
        self.found = signal.signal(signal.SIGTERM, self.handle)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(autouse=True)
def before() -> Iterator[Library]:
    """A handler that does nothing, as before each test."""
    library = Library()
    library.install()
    yield library
    signal.signal(signal.SIGTERM, library.found)


def sigterm() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def preempted(block: Preemption, body: Callable[[Preemption], object]) -> PreemptedError:
    """What ends the block."""
    with pytest.raises(PreemptedError) as caught, block:
        body(block)
    return caught.value


def test_check_looks_too_and_without_a_signal_theirs_stays_after_the_block(
    world: World, before: Library, caplog: pytest.LogCaptureFixture
) -> None:
    library = Library()
    with world.process(0).checkpoints.on_preemption() as block:
        library.install()
        block.check()
        assert signal.getsignal(signal.SIGTERM) != library.handle
    assert signal.getsignal(signal.SIGTERM) == library.handle
    sigterm()
    assert (library.told, before.told) == (1, 0)
    signal.signal(signal.SIGTERM, library.found)  # ours, of the block that is over
    sigterm()
    assert (library.told, before.told) == (1, 1)
    assert [r.message for r in caplog.records] == [
        f"another handler of SIGTERM was installed inside the on_preemption block: {__name__}.Library.handle."
        " ckptptr installed its own again, and calls that one too. A signal between the two is missed, unless"
        " theirs calls the handler that it found"
    ]


def test_one_that_no_save_met_is_warned_about_at_the_end_of_the_block(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    library = Library()
    with world.process(0).checkpoints.on_preemption():
        library.install()
    assert "Library.handle" in caplog.text
    assert signal.getsignal(signal.SIGTERM) == library.handle


def test_what_puts_ours_back_is_not_called_any_more(world: World, before: Library) -> None:
    library = Library()

    def body(block: Preemption) -> None:
        library.install()
        block.check()
        signal.signal(signal.SIGTERM, library.found)
        sigterm()

    preempted(world.process(0).checkpoints.on_preemption(), body)
    assert (library.told, before.told) == (0, 1)
    assert signal.getsignal(signal.SIGTERM) == before.handle


@pytest.mark.parametrize("interrupt", [True, False])
def test_each_is_called_once_also_if_one_calls_the_other(
    world: World, before: Library, interrupt: bool
) -> None:
    first, second = Library(), Library()

    def handle(number: int, frame: FrameType | None) -> None:
        second.handle()
        second.found(number, frame)  # type: ignore[operator, misc]

    def body(block: Preemption) -> None:
        first.install()
        block.check()
        second.found = signal.signal(signal.SIGTERM, handle)
        block.check()
        sigterm()

    preempted(world.process(0).checkpoints.on_preemption(interrupt=interrupt), body)
    assert (first.told, second.told, before.told) == (1, 1, 1)


@pytest.mark.parametrize("interrupt", [True, False])
def test_what_theirs_raises_is_the_cause_and_neither_a_save_nor_a_step_meets_it(
    world: World, interrupt: bool, caplog: pytest.LogCaptureFixture
) -> None:
    run, library, steps = world.process(0), Library(SystemExit(3)), []
    run.before("create", "manifests", sigterm)

    def body(_: Preemption) -> None:
        library.install()
        steps.append("before")
        run.checkpoints.save(b"x", step=1)
        steps.append("after")

    ended = preempted(run.checkpoints.on_preemption(interrupt=interrupt), body)
    assert "confirmed, LATEST is on step 1" in str(ended)
    assert isinstance(ended.__cause__, SystemExit)
    assert "another handler of SIGTERM raised SystemExit(3)" in caplog.text
    assert (steps, library.told) == (["before"], 1)


@pytest.mark.parametrize("action", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_reset_of_the_signal_does_not_end_the_watch(
    world: World, action: signal.Handlers, before: Library, caplog: pytest.LogCaptureFixture
) -> None:
    def body(block: Preemption) -> None:
        signal.signal(signal.SIGTERM, action)
        block.check()
        sigterm()

    preempted(world.process(0).checkpoints.on_preemption(), body)
    assert f"block: {action.name}. ckptptr installed its own again. A signal" in caplog.text
    assert signal.getsignal(signal.SIGTERM) == before.handle


def test_a_save_in_the_background_looks_in_the_thread_that_begins_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    run, library = world.process(0), Library()
    with run.checkpoints.on_preemption():
        signal.signal(signal.SIGTERM, partial(library.handle))
        run.checkpoints.save(b"x", step=1, block=False)
        assert "Library.handle" in caplog.text
    assert library.told == 0


def test_a_handler_of_an_event_loop_is_seen_and_both_are_called(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    run, told = world.process(0), asyncio.Event()

    async def train() -> None:
        loop = asyncio.get_running_loop()
        async with run.checkpoints.on_preemption(
            lambda: run.save({"model": "x"}, step=5), interrupt=False
        ) as block:
            loop.add_signal_handler(signal.SIGTERM, told.set)
            block.check()
            sigterm()
            await asyncio.wait_for(told.wait(), 20)

    with pytest.raises(PreemptedError, match="LATEST is on step 5"):
        asyncio.run(train())
    assert "asyncio.unix_events._sighandler_noop (add_signal_handler of an event loop)" in caplog.text


def test_a_block_in_a_thread_beside_the_event_loop_puts_ours_in_by_the_loop(
    world: World, before: Library
) -> None:
    run, library = world.process(0), Library()

    async def main() -> None:
        in_main = by_loop(asyncio.get_running_loop())

        def task() -> None:
            with run.checkpoints._preemption(
                None,
                deadline=20,
                signals=[signal.SIGTERM],
                interrupt=True,
                raises=PreemptedError,
                in_main=in_main,
            ) as block:
                in_main(library.install)
                block.check()
                sigterm()
                in_main(lambda: None)  # the main thread has handled it
                assert library.told == 1
                block.check()

        await asyncio.to_thread(task)

    with pytest.raises(PreemptedError):
        asyncio.run(main())
    assert (library.told, before.told) == (1, 1)


def test_a_fork_dies_of_its_sigterm_as_without_us(world: World) -> None:
    library = Library()
    with world.process(0).checkpoints.on_preemption() as block:
        library.install()
        block.check()
        if (child := os.fork()) == 0:
            sigterm()
            os._exit(library.told)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert library.told == 0
