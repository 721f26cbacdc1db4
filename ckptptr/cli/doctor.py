"""`ckptptr doctor`: what is wrong, what the next attempt does and why, and what to type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from ckptptr.cli.checks import environment, homes, latest, store
from ckptptr.cli.checks.execution import LEVELS, rows_of
from ckptptr.cli.checks.finding import Examined, findings_of, of_error, problem
from ckptptr.cli.command import answer, attempt_option, root_option, store_command, tell_guess
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.cli.output import INDENT, Cell, Column, Output
from ckptptr.errors import CkptptrError, StoreUnavailableError
from ckptptr.inspect import shapes
from ckptptr.inspect.execution import execution_of
from ckptptr.inspect.sentences import headline, in_words, short
from ckptptr.inspect.target import SeveralNodesError, locate
from ckptptr.wording import counted


@store_command("doctor", "What is wrong, what comes next and why, what to type.", shapes.Doctor)
@click.argument("target", required=False)
@attempt_option
@root_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    target: str | None,
    attempt: int | None,
    root: str | None,
    storage_options: dict[str, Any],
    as_json: bool,
) -> None:
    """What is wrong, what the next attempt does and why, and what to type.

    Looks at LATEST, at every home of the node, at the store, and at the packages and variables of this
    machine. Without TARGET it looks only at this machine. It changes nothing.

    TARGET may be an execution: then all its nodes are listed, the worst first, and each map task is one
    line. Of a map task with more than 20 indices only each LATEST is read.


    The exit code is 9 if there is a problem, and 0 if there are only notes.
    """
    node, shown, found = None, None, environment.findings()
    execution, nodes = None, list[shapes.NodeRow]()
    if target is not None:
        try:
            here = locate(target, storage_options=storage_options, attempt=attempt, root=root)
        except StoreUnavailableError as error:
            found.append(of_error(error))
        except SeveralNodesError as error:
            execution = execution_of(error, storage_options)
            if execution is None:
                raise
            nodes = rows_of(execution)
        else:
            tell_guess(here)
            node, examined = here.url, Examined(here)
            found += findings_of((*latest.CHECKS, *homes.CHECKS, *store.CHECKS), examined)
            try:
                shown = examined.shown
            except CkptptrError:
                pass  # a finding says why
            else:
                found += _nothing_good(shown)
    found.sort(key=lambda finding: LEVELS.index(finding.level))
    told = shapes.Doctor(
        node=node,
        next=shown,
        findings=found,
        execution=execution.url if execution else None,
        nodes=nodes,
    )
    answer(told, _print, as_json=as_json)
    if "problem" in (found[0].level, *(row.level for row in nodes)):
        ctx.exit(ExitCode.PROBLEMS)


def _nothing_good(shown: shapes.Show) -> Iterator[shapes.Finding]:
    rejected = [candidate for candidate in shown.candidates if candidate.outcome == "rejected"]
    if shown.checkpoint is None and shown.latest.checkpoint != "none" and rejected:
        yield problem(
            "nothing-good",
            "There are checkpoints, but none can be restored: the next attempt starts from scratch.",
            shown.node,
        )


def _count(told: shapes.Doctor, level: str) -> int:
    """How many findings there are; a node of an execution counts once."""
    of_nodes = sum(row.problems if level == "problem" else row.notes for row in told.nodes)
    return of_nodes + sum(finding.level == level for finding in told.findings)


_COLUMNS = (
    Column("state"),
    Column("node"),
    Column("nodes", right=True),
    Column("problems", right=True),
    Column("notes", right=True, may_go=True),
    Column("held", right=True),
    Column("damaged", right=True),
    Column("step", right=True),
)


def _print_nodes(out: Output, told: shapes.Doctor) -> None:
    total = sum(row.nodes for row in told.nodes)
    out.blank()
    out.line(Cell(f"{counted(total, 'node')} of {told.execution}", "bold"))
    out.blank()
    out.table(_COLUMNS, [_node_row(row) for row in told.nodes])
    for row in told.nodes:
        for finding in row.findings:
            out.blank()
            out.line(INDENT, Cell(row.url, "bold"))
            _print_finding(out, finding)
    if any(row.looked_at == "LATEST" for row in told.nodes):
        text = "Of large map tasks only each LATEST was read: `ckptptr verify` compares sizes."
        out.blank()
        out.sentence(text, "dim")


def _node_row(row: shapes.NodeRow) -> list[str]:
    steps = " to ".join(map(str, dict.fromkeys(row.steps)))
    counts = (row.nodes, row.problems, row.notes, row.held, row.damaged)
    return [Cell(row.level, _STYLES[row.level]), row.name, *map(str, counts), steps or "-"]


def _print(told: shapes.Doctor) -> None:
    out = Output()
    counts = [_count(told, level) for level in ("problem", "note")]
    words = [counted(count, word) for count, word in zip(counts, ("problem", "note"), strict=True) if count]
    out.headline(
        f"{' and '.join(words)}." if words else "Nothing is wrong.", "bold red" if counts[0] else "bold"
    )
    if told.next:
        out.blank()
        out.headline(headline(told.next.checkpoint))
        out.sentence(f"Why: {told.next.why}.")
        for warning in told.next.warnings:
            out.sentence(warning, "yellow")
        for number, candidate in enumerate(told.next.candidates, start=1):
            mark = Cell(f"{INDENT}{number}.")
            out.marked(mark, _in_a_sentence(candidate, told.next.latest), indent=" " * 5)
    if told.nodes:
        _print_nodes(out, told)
    out.blank()
    for finding in told.findings:
        _print_finding(out, finding)
    out.blank()
    out.sentence(
        "doctor changed nothing and fetched no payload. Packages and variables are those of this machine; a"
        " pod may have others.",
        "dim",
    )


_TODO: dict[shapes.Todo, str] = {"nothing": "Nothing to do. ", "decide": "Decide. ", "act": "To repair. "}
_STYLES = {"problem": "red", "note": "yellow", "ok": "green"}


def _print_finding(out: Output, finding: shapes.Finding) -> None:
    indent = INDENT * 5
    todo = "" if finding.level == "ok" else _TODO[finding.todo]
    out.marked(Cell(finding.level, _STYLES[finding.level]), f"{todo}{finding.what}", indent=indent)
    if finding.level != "ok" and finding.object:
        out.line(indent, Cell(finding.object, "dim"))
    if finding.type:
        out.line(indent, "Type: ", Cell(finding.type, "bold"))


_SOURCES = {
    "latest": "which LATEST names",
    "history": "from the history of LATEST",
    "homes": "found in the home of an attempt",
    "doomed": "which is expired but not deleted yet",
}


def _in_a_sentence(candidate: shapes.Candidate, latest: shapes.Latest) -> str:
    named = candidate.checkpoint
    what = "LATEST itself" if candidate.reference == latest.url else candidate.reference
    if named:
        what = f"{in_words(named)} ({short(named)})" if named.id else short(named)
    source = "" if candidate.reference == latest.url else f", {_SOURCES[candidate.source]}"
    if candidate.outcome == "taken":
        return f"It takes {what}{source}."
    if candidate.outcome == "next":
        return f"If its payload is damaged: {what}{source}."
    if candidate.outcome == "unknown":
        return f"It is unknown whether {what}{source}, is good: {candidate.reason}."
    verb = "finds nothing at" if candidate.outcome == "absent" else "skips"
    reason = candidate.reason.rstrip(".")
    return f"It {verb} {what}{source}: {reason}."
