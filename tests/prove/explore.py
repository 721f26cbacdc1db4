"""All schedules that differ: dynamic partial-order reduction.

Two schedules are equal if one becomes the other by swapping neighbours whose order does not matter. Of each
such class at least one schedule is run. Where two requests race, the other order is tried: the *source sets*
of Abdulla, Aronis, Jonsson and Sagonas (POPL 2014), with sleep sets. A process is what races; where it has
several tasks, all that are ready are tried.

Every schedule is run from the start, with the choices that led to it: nothing is restored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tests.prove.scheduler import Scheduler, Task, Touch


class Runnable(Protocol):
    """A world that has just begun."""

    scheduler: Scheduler

    def finish(self) -> str:
        """Judge the end; what is wrong, or an empty text."""

    @property
    def wrong(self) -> str:
        """The rule that is broken by now, or an empty text."""


@dataclass(slots=True)
class _Step:
    """A choice: `ready` are the names of the tasks that could go on, each with what it would touch."""

    ready: dict[str, tuple[str, int]]
    sleep: set[str]
    wanted: set[str]
    chosen: str = ""
    clock: dict[str, int] = field(default_factory=dict)
    number: int = 0


@dataclass(slots=True)
class Violation:
    """A schedule that breaks a rule: the tasks in the order in which they went on."""

    wrong: str
    choices: tuple[str, ...]


@dataclass(slots=True)
class Explored:
    """What was seen. `most_writes` is the largest number of writes of each process in any schedule."""

    schedules: int = 0
    states: set[int] = field(default_factory=set)
    most_writes: dict[str, int] = field(default_factory=dict)
    violation: Violation | None = None


class _Meetings:
    """Whether two requests meet, by small numbers, and remembered."""

    def __init__(self) -> None:
        self._numbers: dict[Touch, int] = {}
        self._touches: list[Touch] = []
        self._meets: dict[tuple[int, int], bool] = {}

    def number(self, touch: Touch) -> int:
        if touch not in self._numbers:
            self._numbers[touch] = len(self._touches)
            self._touches.append(touch)
        return self._numbers[touch]

    def meet(self, one: int, other: int) -> bool:
        found = self._meets.get((one, other))
        if found is None:
            found = self._touches[one].meets(self._touches[other])
            self._meets[one, other] = self._meets[other, one] = found
        return found


class Explorer:
    """Explores one world.

    Args:
        begin: makes the world anew; the same each time.
        limit: the most schedules.
    """

    def __init__(self, begin: Callable[[], Runnable], limit: int | None = None) -> None:
        self._begin = begin
        self._limit = limit
        self._meetings = _Meetings()
        self._stack: list[_Step] = []
        self.explored = Explored()

    def run(self) -> Explored:
        while True:
            self._run_once()
            if self.explored.violation or self.explored.schedules == self._limit or not self._backtrack():
                return self.explored

    def choices(self) -> tuple[str, ...]:
        """Of the schedule that was run last."""
        return tuple(step.chosen for step in self._stack)

    def _run_once(self) -> None:
        world = self._begin()
        scheduler, explored, stack = world.scheduler, self.explored, self._stack
        try:
            depth = 0
            for depth, step in enumerate(stack):  # noqa: B007
                scheduler.step(_named(scheduler, step.chosen))
            is_new = bool(stack)
            while not world.wrong:
                if is_new:
                    explored.states.add(scheduler.snapshot())
                    self._find_races(len(stack) - 1)
                is_new = True
                ready = scheduler.ready()
                if not ready:
                    break
                step = self._next_step(ready)
                if step is None:
                    return  # all that could follow was seen in another order
                stack.append(step)
                scheduler.step(_named(scheduler, step.chosen))
            explored.schedules += 1
            for name, process in scheduler.processes.items():
                explored.most_writes[name] = max(explored.most_writes.get(name, 0), process.writes)
            if wrong := world.wrong or world.finish():
                explored.violation = Violation(wrong, self.choices())
        finally:
            for process in scheduler.processes.values():
                scheduler.end(process)

    def _next_step(self, tasks: Sequence[Task]) -> _Step | None:
        ready = {task.name: (task.process.name, self._meetings.number(task.touch)) for task in tasks}
        before = self._stack[-1] if self._stack else None
        sleep = self._still_asleep(before, ready) if before else set[str]()
        awake = [name for name in ready if name not in sleep]
        if not awake:
            return None
        last = before.ready[before.chosen][0] if before else ""
        chosen = next((name for name in awake if ready[name][0] == last), awake[0])
        return _Step(ready, sleep, {ready[chosen][0]}, chosen)

    def _still_asleep(self, before: _Step, ready: dict[str, tuple[str, int]]) -> set[str]:
        """What was tried before that step, and is not touched by it."""
        process, touch = before.ready[before.chosen]
        return {
            name
            for name in before.sleep
            if name in ready and ready[name][0] != process and not self._meetings.meet(ready[name][1], touch)
        }

    def _find_races(self, last: int) -> None:
        """With which earlier requests the last one races: the other order is wanted there."""
        stack, meet = self._stack, self._meetings.meet
        step = stack[last]
        process, touch = step.ready[step.chosen]
        clock: dict[str, int] = {}
        races: list[int] = []
        for place in range(last - 1, -1, -1):
            earlier = stack[place]
            its_process, its_touch = earlier.ready[earlier.chosen]
            if clock.get(its_process, 0) >= earlier.number:
                continue
            if its_process == process or meet(its_touch, touch):
                if its_process != process:
                    races.append(place)
                for name, count in earlier.clock.items():
                    if clock.get(name, 0) < count:
                        clock[name] = count
        step.number = clock.get(process, 0) + 1
        clock[process] = step.number
        step.clock = clock
        for place in races:
            self._want_the_other_order(place, last)

    def _want_the_other_order(self, place: int, last: int) -> None:
        first = self._stack[place]
        its_process = first.ready[first.chosen][0]
        seen: list[_Step] = []
        initials: list[str] = []
        known: set[str] = set()
        for step in self._stack[place + 1 : last + 1]:
            process, _ = step.ready[step.chosen]
            is_after = step.clock.get(its_process, 0) >= first.number
            if is_after and step is not self._stack[last]:
                continue
            if process not in known:
                known.add(process)
                if not any(step.clock.get(p, 0) >= n for p, n in ((_owner(s), s.number) for s in seen)):
                    initials.append(process)
            seen.append(step)
        if not first.wanted & {*initials}:
            first.wanted.add(initials[0])

    def _backtrack(self) -> bool:
        """To the last choice where something else is wanted."""
        while self._stack:
            step = self._stack[-1]
            step.sleep.add(step.chosen)
            for name, (process, _) in step.ready.items():
                if process in step.wanted and name not in step.sleep:
                    step.chosen = name
                    step.clock, step.number = {}, 0
                    return True
            self._stack.pop()
        return False


def _owner(step: _Step) -> str:
    return step.ready[step.chosen][0]


def _named(scheduler: Scheduler, name: str) -> Task:
    return next(task for task in scheduler.tasks if task.name == name)


def replay(world: Runnable, choices: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Run one schedule again; each step as `(task, operation, key)`."""
    for name in choices:
        task = _named(world.scheduler, name)
        request = task.request
        world.scheduler.step(task)
        yield (name, *request)
