"""All nodes of an execution, the worst first. Of a large map task each LATEST is read, to find the worst."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ckptptr.cli.checks import homes, latest, store
from ckptptr.cli.checks.finding import Examined, findings_of, note, of_error, problem
from ckptptr.errors import CkptptrError
from ckptptr.inspect import shapes
from ckptptr.inspect.execution import FEW, Execution, Row
from ckptptr.inspect.many import in_parallel

LEVELS = ("problem", "note", "ok")
"""The worst first."""


@dataclass(frozen=True, slots=True)
class _Node:
    """What was found of one node."""

    url: str
    step: int | None
    is_held: bool
    is_damaged: bool
    findings: tuple[shapes.Finding, ...]

    def count(self, level: str) -> int:
        return sum(finding.level == level for finding in self.findings)

    @property
    def badness(self) -> tuple[int, int]:
        return self.count("problem"), self.count("note")


def rows_of(execution: Execution) -> list[shapes.NodeRow]:
    """The nodes, the worst first; those that are equally bad in the order of their names."""
    small = [prefix for row in execution.rows for prefix in row.prefixes if len(row.prefixes) <= FEW]
    large = [prefix for row in execution.rows for prefix in row.prefixes if len(row.prefixes) > FEW]
    found = dict(zip(large, in_parallel(lambda prefix: _glance(execution, prefix), large), strict=True))
    flagged = [prefix for prefix in large if found[prefix].findings][:FEW]
    examined = [*small, *flagged]
    found |= zip(examined, in_parallel(lambda prefix: _examine(execution, prefix), examined), strict=True)
    rows = [_row(row, [found[prefix] for prefix in row.prefixes]) for row in execution.rows]
    return sorted(rows, key=lambda row: (LEVELS.index(row.level), -row.problems, -row.notes))


def _examine(execution: Execution, prefix: str) -> _Node:
    """As if it were the target."""
    try:
        examined = Examined(execution.here(prefix))
        found = [*findings_of((*latest.CHECKS, *homes.CHECKS, *store.CHECKS), examined)]
        seen = examined.seen
    except CkptptrError as error:
        return _Node(execution.store.url(prefix), None, False, True, (of_error(error),))
    told = tuple(sorted(_not_ok(found), key=lambda finding: LEVELS.index(finding.level)))
    step = seen.pointer.target.step if seen.pointer else None
    return _Node(examined.here.url, step, seen.is_held, bool(seen.damage), told)


def _glance(execution: Execution, prefix: str) -> _Node:
    """Only LATEST. The first few that are not ok are then examined."""
    url = execution.store.url(prefix)
    try:
        seen = execution.seen(prefix)
    except CkptptrError as error:
        return _Node(url, None, False, False, (of_error(error),))
    found: list[shapes.Finding] = []
    if seen.damage:
        found.append(problem("latest-damaged", f"{seen.damage}.", f"{url}/LATEST", todo="nothing"))
    elif seen.pointer is None:
        found.append(note("latest-absent", "LATEST is absent.", f"{url}/LATEST"))
    elif seen.is_held:
        found.append(note("latest-held", "LATEST is held.", f"{url}/LATEST"))
    step = seen.pointer.target.step if seen.pointer else None
    return _Node(url, step, seen.is_held, bool(seen.damage), tuple(found))


def _not_ok(findings: Iterable[shapes.Finding]) -> Iterable[shapes.Finding]:
    """What is worth a line here: the guarantee is the same for all nodes, and the doctor of one says it."""
    return (finding for finding in findings if finding.level != "ok" and finding.check != "guarantee")


def _row(row: Row, nodes: list[_Node]) -> shapes.NodeRow:
    worst = max(nodes, key=lambda node: node.badness)
    steps = sorted(node.step for node in nodes if node.step is not None)
    problems, notes = (sum(node.count(level) > 0 for node in nodes) for level in ("problem", "note"))
    return shapes.NodeRow(
        name=row.name,
        url=worst.url,
        nodes=len(nodes),
        looked_at="all" if len(nodes) <= FEW else "LATEST",
        level="problem" if problems else "note" if notes else "ok",
        problems=problems,
        notes=notes,
        held=sum(node.is_held for node in nodes),
        damaged=sum(node.is_damaged for node in nodes),
        steps=[steps[0], steps[-1]] if steps else [],
        findings=[*worst.findings],
    )
