"""`ckptptr log`: every checkpoint of a node, across its attempts."""

from __future__ import annotations

import shlex
from datetime import datetime

import click

from ckptptr.cli.command import answer, node_command
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.cli.output import TONES, Cell, Column, Output
from ckptptr.inspect import shapes
from ckptptr.inspect.log import everything
from ckptptr.inspect.sentences import (
    hold_sentence,
    metadata_of,
    short,
    short_reference,
    state_in_words,
    step_of,
)
from ckptptr.inspect.target import Here
from ckptptr.wording import ago, number, size, utc


@node_command("log", "Every checkpoint of a node, across its attempts.", shapes.Log)
@click.option(
    "--column", "keys", multiple=True, metavar="KEY", help="Also print this key of the metadata; repeatable."
)
@click.pass_context
def command(ctx: click.Context, here: Here, as_json: bool, keys: tuple[str, ...]) -> None:
    """Every checkpoint of the node, across its attempts, the newest first.

    From LATEST and a listing of the homes of the attempts. Reads each manifest, and no payload. To see a
    value of the metadata beside each: --column loss.


    The exit code is 3 if the node has no checkpoint.
    """
    log = everything(here)
    answer(log, lambda log: _print(log, here.clock.now(), keys), as_json=as_json)
    if not log.checkpoints:
        ctx.exit(ExitCode.NOTHING_FOUND)


def _print(log: shapes.Log, now: datetime, keys: tuple[str, ...]) -> None:
    out = Output()
    count = len(log.checkpoints)
    counted = {0: "No checkpoint", 1: "1 checkpoint"}.get(count, f"{count} checkpoints")
    out.line(Cell(f"{counted} of {log.node}", "bold"))
    if log.checkpoints:
        out.blank()
        chosen = [Column(key, right=True) for key in keys]
        columns = (*_COLUMNS[:_AFTER_STEP], *chosen, *_COLUMNS[_AFTER_STEP:])
        out.table(columns, [_row(entry, now, keys) for entry in log.checkpoints])
    out.blank()
    for style, text in _remarks(log):
        out.sentence(text, style)
    if len(log.checkpoints) > 1:
        out.line(Cell(f"To choose one: ckptptr use {shlex.quote(log.node)} ID", "dim"))


_COLUMNS = (
    Column("#", right=True),
    Column("state"),
    Column("step", right=True),
    Column("attempt", right=True),
    Column("seq", right=True, may_go=True),
    Column("size", right=True),
    Column("published"),
    Column("UTC", may_go=True),
    Column("id", tail=True),
    Column("parent", may_go=True),
)
_AFTER_STEP = 3
"""Where the columns of `--column` are."""


def _row(entry: shapes.Entry, now: datetime, keys: tuple[str, ...]) -> list[str]:
    words = state_in_words(entry)
    return [
        str(entry.index),
        Cell(", ".join(word for word, _ in words), TONES["bad" if entry.problem else words[0][1]]),
        step_of(entry),
        *(metadata_of(entry, key) for key in keys),
        number(entry.attempt),
        number(entry.seq),
        size(entry.bytes),
        ago(entry.published_at, now),
        utc(entry.published_at),
        short(entry),
        short_reference(entry.parent),
    ]


def _remarks(log: shapes.Log) -> list[tuple[str, str]]:
    """What is wrong or unusual, and what words in the table mean."""
    latest = log.latest
    states = {entry.state for entry in log.checkpoints}
    remarks = []
    if latest.state == "absent":
        remarks.append(("yellow", "LATEST is absent: the next attempt searches the homes, newest first."))
    if latest.damage:
        remarks.append(("red", f"{latest.damage}. The next attempt searches the homes, newest first."))
    if latest.held:
        remarks.append(("yellow", hold_sentence(latest)))
    if latest.checkpoint == "none":
        remarks.append(("yellow", "LATEST says none: the next attempt starts fresh."))
    remarks += [
        ("red", f"#{entry.index} cannot be restored: {entry.problem}.")
        for entry in log.checkpoints
        if entry.problem
    ]
    if "unnamed" in states:
        text = "unnamed: complete but not in LATEST; choose it with `use` before it is deleted."
        remarks.append(("dim", text))
    if "doomed" in states:
        remarks.append(("dim", "expired: released by retention; it may be deleted at any moment."))
    return remarks
