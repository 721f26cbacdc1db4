"""One world with every fault: what was seen, and a violation as a person reads it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from tests.prove.explore import Explored, Explorer, Violation, replay
from tests.prove.scheduler import Fault
from tests.prove.setting import Setting, one_thread
from tests.prove.worlds import WORLDS

BY_NAME = {world.name: world for world in WORLDS}

_PLACES = {"start": "begins", "lock": "waits for its own process"}


@dataclass
class Report:
    """What was seen of a world; `trace` is the violation, if there is one."""

    world: str
    plans: int = 0
    schedules: int = 0
    states: int = 0
    seconds: float = 0.0
    trace: str = ""
    most_writes: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        counts = f"{self.plans:5} fault plans {self.schedules:8} schedules {self.states:9} states"
        return f"{self.world:44} {counts} {self.seconds:7.1f} s"


def prove(setting: Setting, *, faults: bool = True, limit: int | None = None) -> Report:
    """Explore a world: without a fault, then with each fault at each write of each process.

    Args:
        limit: the most schedules without a fault, and with each.
    """
    report, began, states = Report(setting.name), time.process_time(), set[int]()

    def explore(plan: Sequence[Fault]) -> Explored:
        explored = Explorer(lambda: setting.begin(plan), limit).run()
        report.plans += 1
        report.schedules += explored.schedules
        states.update(explored.states)
        if explored.violation:
            report.trace = trace(setting, plan, explored.schedules, explored.violation)
        return explored

    with one_thread():
        most = explore(()).most_writes
        for plan in plans(setting, most) if faults else ():
            if report.trace:
                break
            explore(plan)
    report.states, report.seconds, report.most_writes = len(states), time.process_time() - began, most
    return report


def prove_named(name: str, *, as_slice: bool) -> Report:
    world = BY_NAME[name]
    return prove(world, limit=world.slice if as_slice else None)


def plans(setting: Setting, most_writes: dict[str, int]) -> Iterator[tuple[Fault, ...]]:
    """Each fault, at each write that a process can come to."""
    each = [
        Fault(process, kind, nth + 1)
        for process, count in most_writes.items()
        for kind, nth in product(setting.faults, range(count))
    ]
    yield from ((fault,) for fault in each)
    if setting.pairs:
        crashes = [fault for fault in each if fault.kind == "crash"]
        yield from ((a, b) for a, b in product(crashes, each) if b.kind == "lost" and a != b)


def trace(setting: Setting, plan: Sequence[Fault], number: int, violation: Violation) -> str:
    """The schedule step by step, and how to see it again."""
    fault = "".join(f' --fault "{fault}"' for fault in plan)
    lines = [f"{setting.name}: {violation.wrong}"]
    root = setting.bucket().key
    for task, op, key in replay(setting.begin(plan), violation.choices):
        lines.append(f"  {task:4} {_PLACES.get(op, op):9} {key.removeprefix(root + '/')}")
    lines.append(f'Again: python -m tests.prove --world "{setting.name}"{fault} --replay {number}')
    return "\n".join(lines)


def replayed(setting: Setting, plan: Sequence[Fault], number: int) -> str:
    """The schedule of that number; it is found by exploring up to it."""
    with one_thread():
        explorer = Explorer(lambda: setting.begin(plan), number)
        explored = explorer.run()
        if explored.schedules < number:
            return f"there are only {explored.schedules} schedules"
        found = explored.violation or Violation("no rule is broken", explorer.choices())
        return trace(setting, plan, number, found)
