"""`ckptptr doctor`: what is wrong, what the next attempt does and why, and what to type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from ckptptr.cli.checks import environment, homes, latest, store
from ckptptr.cli.checks.finding import Examined, findings_of, of_error, problem
from ckptptr.cli.command import answer, attempt_option, root_option, store_command
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.cli.output import INDENT, Cell, Output
from ckptptr.errors import CkptptrError, StoreUnavailableError
from ckptptr.inspect import shapes
from ckptptr.inspect.sentences import headline, short
from ckptptr.inspect.target import locate
from ckptptr.wording import counted

_LEVELS = ("problem", "note", "ok")


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


    The exit code is 9 if there is a problem, and 0 if there are only notes.
    """
    node, shown, found = None, None, environment.findings()
    if target is not None:
        try:
            here = locate(target, storage_options=storage_options, attempt=attempt, root=root)
        except StoreUnavailableError as error:
            found.append(of_error(error))
        else:
            node, examined = here.url, Examined(here)
            found += findings_of((*latest.CHECKS, *homes.CHECKS, *store.CHECKS), examined)
            try:
                shown = examined.shown
            except CkptptrError:
                pass  # a finding says why
            else:
                found += _nothing_good(shown)
    found.sort(key=lambda finding: _LEVELS.index(finding.level))
    told = shapes.Doctor(node=node, next=shown, findings=found)
    answer(told, _print, as_json=as_json)
    if found[0].level == "problem":
        ctx.exit(ExitCode.PROBLEMS)


def _nothing_good(shown: shapes.Show) -> Iterator[shapes.Finding]:
    rejected = [candidate for candidate in shown.candidates if candidate.outcome == "rejected"]
    if shown.checkpoint is None and shown.latest.checkpoint != "none" and rejected:
        yield problem(
            "nothing-good",
            "There are checkpoints, but none can be restored: the next attempt starts from scratch.",
            shown.node,
        )


def _print(told: shapes.Doctor) -> None:
    out = Output()
    counts = [sum(finding.level == level for finding in told.findings) for level in ("problem", "note")]
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
        what = short(named) if named.step is None else f"step {named.step} ({short(named)})"
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
