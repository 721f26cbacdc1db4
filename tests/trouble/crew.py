"""The crew: eight writers, each a process that is started again whenever it ended.

Three nodes of Flyte (one of them a stock task), two ranks of one set of parts, one that opens a URL, one that
saves in the background, and a person with commands. A writer that is paused may be replaced before it goes
on: then two attempts are alive at once.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from ckptptr.testing.attempts import SimulatedNode
from tests.trouble.jumping_clock import SEED
from tests.trouble.ledger import RANKS, Ledger, new_step, now
from tests.trouble.stores import Place, environment, on_command_line

Say = Callable[[str], None]
TASKS = Path(__file__).with_name("tasks")
DYING = 20.0
"""Seconds after which a writer that was replaced is killed, if it has not ended by itself."""


@dataclass(eq=False)
class Running:
    """One process, with all that it started."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    wakes: float = 0.0
    ends: float = float("inf")

    @property
    def is_over(self) -> bool:
        return self.process.poll() is not None

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.process.wait()


@dataclass(eq=False)
class Work:
    """What all writers of a run share. `folder` is on an ordinary disk."""

    place: Place
    folder: Path
    dice: Random
    say: Say
    numbers: dict[str, int] = field(default_factory=dict)

    def start(self, name: str, command: list[str], **environ: str) -> Running:
        """Start a process with a log of its own; its name tells it apart in the log of actions."""
        number = self.numbers[name] = self.numbers.get(name, -1) + 1
        log = self.folder / "logs" / f"{name}-{number}"
        log.parent.mkdir(exist_ok=True)
        temporary = self.place.disk / "tmp"
        with suppress(OSError):  # the disk is full
            temporary.mkdir(exist_ok=True)
        settings = {"TMPDIR": str(temporary), "CKPTPTR_ENGINE": self.dice.choice(("auto", "fsspec"))}
        if self.dice.random() < 0.5:
            settings[SEED] = str(self.dice.randrange(10**6))
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**environment(self.place), **settings, **environ},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.say(f"start {log.name} {' '.join(f'{key}={value}' for key, value in settings.items())}")
        return Running(log.name, process, log)


class Writer(ABC):
    """One of the crew. A subclass says how the next start of it looks."""

    members = 1
    starts_again_within = 2.0

    def __init__(self, work: Work, name: str) -> None:
        self.work = work
        self.name = name
        self.ledger = Ledger(work.folder, name)
        self.running: list[Running] = []
        self.replaced: list[Running] = []
        self.next_start = 0.0

    @property
    def url(self) -> str:
        return f"{self.work.place.url}/{self.name}"

    @abstractmethod
    def start(self) -> list[Running]:
        """The processes of its next start."""

    def look(self) -> None:
        """Start it again if it ended; wake who was paused; end who was replaced."""
        for each in [*self.running, *self.replaced]:
            if each.wakes and now() >= each.wakes:
                each.wakes = 0.0
                self.work.say(f"wake {each.name}")
                each.send(signal.SIGCONT)
            if now() >= each.ends:
                each.kill()
        self.replaced = [each for each in self.replaced if not each.is_over]
        if self.running and any(each.is_over for each in self.running):
            for each in self.running:  # what remains of several ends together, as torchrun ends it
                each.kill()
                self.over(each)
            self.running = []
            self.next_start = now() + self.work.dice.uniform(0.0, self.starts_again_within)
        if not self.running and now() >= self.next_start:
            self.running = self.start()

    @property
    def has_begun(self) -> bool:
        """Whether it has saved something."""
        return any(line.what == "saved" for line in self.ledger.lines())

    def over(self, running: Running) -> None:
        """A process of it has ended."""
        self.work.say(f"ended {running.name} {running.process.returncode}")

    def strike(self, number: signal.Signals) -> None:
        """Send a signal to one of its processes."""
        if self.running:
            each = self.work.dice.choice(self.running)
            self.work.say(f"{number.name} {each.name}")
            each.send(number)

    def pause(self, seconds: float, *, replace: bool) -> None:
        """Stop one of its processes for so long; start the next ones meanwhile if it is to be replaced."""
        awake = [each for each in self.running if not each.wakes]
        if not awake:
            return
        each = self.work.dice.choice(awake)
        self.work.say(f"pause {each.name} for {seconds:.1f} s{', and replace it' if replace else ''}")
        each.send(signal.SIGSTOP)
        each.wakes = now() + seconds
        if replace:
            each.ends = each.wakes + DYING
            self.replaced.append(each)
            self.running.remove(each)
            for other in self.running:
                other.kill()
            self.running = []

    def end(self) -> None:
        for each in [*self.running, *self.replaced]:
            each.kill()


class FlyteNode(Writer):
    """Attempts of a node of Flyte. Some containers restart in place: the same attempt, once more."""

    attempt = -1

    def __init__(self, work: Work, name: str, task: str) -> None:
        super().__init__(work, name)
        self.node = SimulatedNode(
            "troubled",
            task,
            root=f"{work.place.url}/flyte",
            folder=str(TASKS),
            inputs={"ledgers": str(work.folder), "node": name},
            node=name,
        )

    @property
    def url(self) -> str:
        return self.node.prefix

    def start(self) -> list[Running]:
        was_replaced = bool(self.replaced)
        if self.attempt < 0 or was_replaced or self.work.dice.random() < 0.7:
            self.attempt += 1
        self.work.say(f"attempt {self.attempt} of {self.name}")
        scratch = self.work.folder / "pods" / self.name
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        environ = self.node._environ(self.attempt, [], scratch)
        own = {name: value for name, value in environ.items() if os.environ.get(name) != value}
        path = f"{TASKS}{os.pathsep}{environment(self.work.place)['PYTHONPATH']}"
        command = self.node._command(self.attempt, scratch)
        settings = own | {"PYTHONPATH": path}
        for injected in ("CKPTPTR_TESTING_FAULTS", "CKPTPTR_TESTING_LOG", "TMPDIR"):
            settings.pop(injected, None)
        return [self.work.start(self.name, command, **settings)]


class Program(Writer):
    """One of `tests.trouble.writers`."""

    def start(self) -> list[Running]:
        return [self.work.start(self.name, self.command())]

    def command(self) -> list[str]:
        folders = (str(self.work.place.disk / self.name), str(self.work.folder))
        return [sys.executable, "-m", "tests.trouble.writers", self.name, self.url, *folders]


class Ranks(Program):
    """Two ranks that start together, each time as a new attempt and round, and end together."""

    members = RANKS
    attempt = -1

    def start(self) -> list[Running]:
        self.attempt += 1
        told = {"TROUBLE_ATTEMPT": str(self.attempt), "TROUBLE_STEP": str(new_step())}
        return [
            self.work.start(self.name, self.command(), TROUBLE_RANK=str(rank), **told)
            for rank in range(RANKS)
        ]


class Person(Writer):
    """Now and then one command on one of the nodes; moves of LATEST only on some, which the judge knows."""

    starts_again_within = 8.0
    READS = (["show"], ["log"], ["verify", "--deep"], ["du"], ["doctor"], ["sweep", "--yes"])
    MOVES = (["rollback"], ["use", "#2"], ["use", "#3"], ["release", "--yes"], ["pin", "#2"], ["unpin", "#2"])

    def __init__(self, work: Work, nodes: Mapping[str, Writer], moved: Mapping[str, Writer]) -> None:
        super().__init__(work, "person")
        self.nodes = nodes
        self.moved = moved
        self.doing: tuple[Writer, list[str], float] | None = None

    @property
    def has_begun(self) -> bool:
        return True

    def start(self) -> list[Running]:
        dice = self.work.dice
        does_move = bool(self.moved) and dice.random() < 0.6
        node = dice.choice([*(self.moved if does_move else self.nodes).values()])
        words = dice.choice(self.MOVES if does_move else self.READS)
        self.doing = (node, words, now()) if does_move else None
        program = str(Path(sys.executable).with_name("ckptptr"))
        options = on_command_line(self.work.place.options)
        command = [program, words[0], node.url, *words[1:], "--json", *options]
        self.work.say(f"person: {' '.join(words)} on {node.name}")
        return [self.work.start(self.name, command)]

    def over(self, running: Running) -> None:
        super().over(running)
        said = running.log.read_text(errors="replace")
        if "Traceback" in said:
            self.ledger.note("wrong", said=f"{running.name} ended with a traceback")
        if self.doing is not None:
            node, words, since = self.doing
            was_killed = running.process.returncode < 0
            node.ledger.note(
                "move",
                since=since,
                verdict="killed" if was_killed else words[0],
                checkpoint=_chosen(said),
                said=" ".join(words),
            )

    def end(self) -> None:
        for each in self.running:
            each.kill()
            self.over(each)
        super().end()


def _chosen(said: str) -> str:
    """The reference that LATEST names after a command."""
    start = said.find("{")
    with suppress(ValueError):
        document: dict[str, Any] = json.loads(said[start:]) if start >= 0 else {}
        return str((document.get("latest") or {}).get("checkpoint", ""))
    return ""


def whole_crew(work: Work) -> list[Writer]:
    """All eight."""
    nodes: list[Writer] = [
        FlyteNode(work, "n0", "save_folders"),
        FlyteNode(work, "n1", "save_folders"),
        FlyteNode(work, "stock", "save_as_stock_tasks_do"),
        *small_crew(work),
    ]
    by_name = {node.name: node for node in nodes}
    moved = {name: by_name[name] for name in ("n0", "alone")}
    return [*nodes, Person(work, by_name, moved)]


def small_crew(work: Work) -> list[Writer]:
    """Those without flytekit."""
    return [Ranks(work, "ranks"), Program(work, "alone"), Program(work, "behind")]
