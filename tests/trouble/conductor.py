"""What goes wrong: at random, from a seed. Each action is a line of a log, for who reads a failure."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.trouble.crew import Work, Writer
from tests.trouble.ledger import now
from tests.trouble.stores import Place

START = 120.0
"""Seconds that a busy machine may take until all have saved for the first time."""
TICK = 0.05
"""Seconds between two looks at the crew."""


class Conductor:
    """Makes trouble for a crew.

    Args:
        pace: seconds between two actions, on average.
    """

    def __init__(self, place: Place, folder: Path, seed: int, *, pace: float) -> None:
        self.place = place
        self.dice = Random(seed)
        self.pace = pace
        self.counts: dict[str, int] = {}
        self._began = now()
        self._log = (folder / "actions").open("a", buffering=1)
        self.work = Work(place, folder, Random(seed + 1), self.say)
        self._full_until = 0.0
        self._restart_after = now() + 20
        self._crew: list[Writer] = []

    def say(self, what: str) -> None:
        self._log.write(f"{now():.3f} {what}\n")

    def run(self, crew: list[Writer], seconds: float) -> None:
        """Let them work for so long in trouble, which begins when each node has a checkpoint. All are dead
        when this returns, and the store is well."""
        self._crew = crew
        patience = now() + START
        while now() < patience and not all(writer.has_begun for writer in crew):
            self._look()
        until, next_action = now() + seconds, now()
        try:
            while now() < until:
                self._look()
                self._recover()
                if now() >= next_action:
                    self._act()
                    next_action = now() + self.dice.uniform(0, 2 * self.pace)
        finally:
            self._recover(at_once=True)
            for writer in crew:
                writer.end()
            self._log.close()

    def _look(self) -> None:
        for writer in self._crew:
            writer.look()
        time.sleep(TICK)

    def _act(self) -> None:
        actions: list[tuple[int, Callable[[], str]]] = [
            (6, lambda: self._strike(signal.SIGKILL)),
            (2, lambda: self._strike(signal.SIGTERM)),
            (4, self._pause),
            (2 if self.place.is_small else 0, self._fill),
            (14 if self.place.proxy else 0, self._trouble),
            (1 if self.place.server and now() > self._restart_after else 0, self._restart),
        ]
        (act,) = self.dice.choices([act for _, act in actions], [weight for weight, _ in actions])
        what = act()
        self.counts[what] = self.counts.get(what, 0) + 1

    def _strike(self, number: signal.Signals) -> str:
        self.dice.choice(self._crew).strike(number)
        return number.name

    def _pause(self) -> str:
        writer, replace = self.dice.choice(self._crew), self.dice.random() < 0.4
        writer.pause(self.dice.uniform(0.2, 8), replace=replace and writer.name != "person")
        return "SIGSTOP"

    def _fill(self) -> str:
        self.say("the disk is full")
        self.place.fill()
        self._full_until = now() + self.dice.uniform(0.5, 5)
        return "full disk"

    def _trouble(self) -> str:
        rule = self.place.rule(self.dice)
        self.say(f"proxy: {rule}")
        assert self.place.proxy is not None
        self.place.proxy.add(rule)
        return "proxy"

    def _restart(self) -> str:
        self.say("restart the server")
        self.place.server.restart()
        self.say("the server is back")
        self._restart_after = now() + 20
        return "restart"

    def _recover(self, *, at_once: bool = False) -> None:
        if self._full_until and (at_once or now() >= self._full_until):
            self._full_until = 0.0
            self.say("the disk has room again")
            self.place.relieve()
        if at_once and self.place.proxy:
            self.place.proxy.reset()
