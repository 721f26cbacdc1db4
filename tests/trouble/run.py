"""One run: the store, the crew, the trouble, the judge, and the summary of all that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.trouble.conductor import Conductor
from tests.trouble.crew import Work, Writer, whole_crew
from tests.trouble.judge import Findings, look_at
from tests.trouble.ledger import now
from tests.trouble.stores import place_at


@dataclass
class Summary:
    """What was run, and what was found."""

    store: str
    seed: int
    seconds: float
    findings: list[Findings] = field(default_factory=list)
    actions: dict[str, int] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    commit: str = ""
    date: str = ""

    @property
    def confirmed(self) -> int:
        return sum(each.confirmed for each in self.findings)

    @property
    def found(self) -> int:
        return sum(each.found for each in self.findings)

    def __str__(self) -> str:
        restores = sum(each.restores for each in self.findings)
        trouble = ", ".join(f"{name} {count}" for name, count in sorted(self.actions.items()))
        starts = sum(self.starts.values())
        rows = [
            f"| `{each.node}` | {self.starts.get(each.node, 0)} | {each.begun} | {each.confirmed} "
            f"| {each.named} | {each.replaced} | {each.restores} |"
            for each in self.findings
        ]
        return "\n".join(
            [
                f"{self.date}, commit {self.commit}, seed {self.seed}: {self.seconds / 60:.1f} minutes, "
                f"{starts} starts of processes.",
                f"Trouble: {trouble}.",
                "",
                f"**{self.confirmed} saves were confirmed, {self.found} of them were found; "
                f"{restores} restores were judged; {len(self.wrong)} faults.**",
                "",
                "| node | starts | saves begun | confirmed | named at the end | replaced | restores |",
                "|---|---|---|---|---|---|---|",
                *rows,
                *(["", *(f"- {each}" for each in self.wrong)] if self.wrong else []),
            ]
        )


def trouble(
    store: str,
    folder: Path,
    *,
    seed: int,
    seconds: float,
    pace: float = 1.0,
    hire: Callable[[Work], list[Writer]] = whole_crew,
) -> Summary:
    """Let a crew work in trouble, and judge."""
    began = now()
    with place_at(store, folder) as place:
        conductor = Conductor(place, folder, seed, pace=pace)
        crew = hire(conductor.work)
        conductor.run(crew, seconds)
        worked = now() - began
        nodes = [writer for writer in crew if writer.name != "person"]
        findings = [look_at(writer) for writer in nodes]
        wrong = [f"{each.node}: {what}" for each in findings for what in each.wrong]
        persons = [writer for writer in crew if writer.name == "person"]
        wrong += [line.said for writer in persons for line in writer.ledger.lines() if line.what == "wrong"]
    if not all(each.confirmed for each in findings):
        wrong.append("of some node no save was confirmed")
    starts = {name: number + 1 for name, number in conductor.work.numbers.items()}
    return Summary(store, seed, worked, findings, conductor.counts, starts, wrong)
