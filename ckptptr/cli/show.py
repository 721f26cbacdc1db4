"""`ckptptr show`: what the next attempt would restore, and why."""

from __future__ import annotations

from datetime import datetime

import click

from ckptptr.cli.command import answer, node_command
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.cli.output import TONES, Cell, Column, Output
from ckptptr.inspect import shapes
from ckptptr.inspect.explain import explain
from ckptptr.inspect.sentences import (
    OUTCOMES,
    SOURCES,
    all_metadata_of,
    headline,
    held_in_words,
    name_of,
    short,
    short_reference,
    step_of,
)
from ckptptr.inspect.target import Here
from ckptptr.wording import number, size, when


@node_command("show", "What the next attempt would restore, and why.", shapes.Show)
@click.pass_context
def command(ctx: click.Context, here: Here, as_json: bool) -> None:
    """What the next attempt would restore, and why, candidate by candidate.

    The rules are those of a real restore, but only manifests are read, and the listed size of each file is
    compared. Nothing is moved.


    The exit code is 3 if there is nothing to restore, unless LATEST asks for a fresh start.
    """
    shown = explain(here)
    answer(shown, lambda shown: _print(shown, here.clock.now()), as_json=as_json)
    if shown.checkpoint is None and shown.latest.checkpoint != "none":
        ctx.exit(ExitCode.NOTHING_FOUND)


def _print(shown: shapes.Show, now: datetime) -> None:
    out = Output()
    out.headline(headline(shown.checkpoint))
    out.sentence(f"Why: {shown.why}.")
    for warning in shown.warnings:
        out.sentence(warning, "yellow")
    if shown.checkpoint:
        out.blank()
        out.facts(_about(shown.checkpoint, now))
    out.blank()
    out.headline("LATEST")
    out.facts([*_about_latest(shown.latest), ("payload by", shown.engine), *_about_engine(shown)])
    if shown.candidates:
        out.blank()
        out.headline("Candidates, in the order of a restore")
        out.table(_COLUMNS, [_row(candidate, shown.latest) for candidate in shown.candidates])
    out.blank()
    out.sentence("Manifests were read and sizes compared: no payload was fetched, nothing was moved.", "dim")


def _about_engine(shown: shapes.Show) -> list[tuple[str, str]]:
    if shown.connections is None:
        return []
    blocks = f"large files in blocks of {size(shown.block_bytes)}, at most {shown.blocks_at_once} at once"
    return [("because", shown.engine_why), ("connections", f"at most {shown.connections}; {blocks}")]


def _about(checkpoint: shapes.Checkpoint, now: datetime) -> list[tuple[str, str]]:
    count = "1 file" if checkpoint.files == 1 else f"{checkpoint.files} files"
    facts = [
        ("checkpoint", short(checkpoint) + (" (pinned)" if checkpoint.pinned else "")),
        ("step", step_of(checkpoint)),
        ("attempt", number(checkpoint.attempt)),
        ("seq", number(checkpoint.seq)),
        ("size", f"{size(checkpoint.bytes)} in {count}"),
        ("published", when(checkpoint.published_at, now)),
        ("by", checkpoint.published_by or "-"),
        ("parent", short_reference(checkpoint.parent)),
        ("metadata", all_metadata_of(checkpoint)),
        ("manifest" if checkpoint.id else "folder", checkpoint.url or "-"),
    ]
    return [(name, value) for name, value in facts if value != "-"]


def _about_latest(latest: shapes.Latest) -> list[tuple[str, str]]:
    facts = [("at", latest.url)]
    if latest.state == "absent":
        return [*facts, ("state", Cell("absent", "yellow"))]
    if latest.damage:
        return [*facts, ("damaged", Cell(latest.damage, "red"))]
    facts.append(("names", short_reference(latest.checkpoint)))
    facts.append(("held", Cell(held_in_words(latest), "yellow" if latest.held else "")))
    if latest.note:
        facts.append(("note", latest.note))
    if latest.fence is not None:
        facts.append(("fence", f"attempt {latest.fence}: lower ones cannot move LATEST any more"))
    if latest.written_by:
        facts.append(("written by", latest.written_by))
    return facts


_COLUMNS = (
    Column("outcome"),
    Column("step", right=True),
    Column("checkpoint"),
    Column("size", right=True, may_go=True),
    Column("from"),
    Column("reason", tail=True),
)


def _row(candidate: shapes.Candidate, latest: shapes.Latest) -> list[str]:
    checkpoint = candidate.checkpoint
    return [
        Cell(candidate.outcome, TONES[OUTCOMES[candidate.outcome]]),
        step_of(checkpoint),
        name_of(candidate, latest),
        size(checkpoint.bytes) if checkpoint else "-",
        SOURCES[candidate.source],
        candidate.reason,
    ]
