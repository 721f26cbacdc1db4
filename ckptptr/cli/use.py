"""`ckptptr use`: hold LATEST on a checkpoint that a person chose."""

from __future__ import annotations

import shlex
from contextlib import suppress

import click

from ckptptr.cli import shapes
from ckptptr.cli.command import node_command
from ckptptr.cli.describe import in_words, latest_of, short_reference
from ckptptr.cli.everything import everything, restorable
from ckptptr.cli.explain import explain
from ckptptr.cli.output import Cell, Output
from ckptptr.cli.show import headline
from ckptptr.cli.target import Here
from ckptptr.errors import (
    CkptptrError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    UnsupportedFormatError,
)
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.references import FRESH


@node_command("use", "Choose the checkpoint that the next attempt restores.")
@click.argument("checkpoint", required=False)
@click.option("--step", type=int, metavar="N", help="The newest checkpoint of that step.")
@click.option("--note", default="", metavar="TEXT", help="A word for whoever reads LATEST next.")
@click.option("--yes", is_flag=True, help="Do not ask before a fresh start.")
def command(
    *, here: Here, as_json: bool, checkpoint: str | None, step: int | None, note: str, yes: bool
) -> None:
    """Hold LATEST on a checkpoint: the next attempt resumes from it.

    CHECKPOINT is an id, a path or URI of a manifest or folder, '#3' for line 3 of `ckptptr log`, or
    `none` for a fresh start. Nothing is deleted: what LATEST named goes into its history.

    No attempt that is running moves a held LATEST; the next one that restores takes it up, once.

    \b
    With --json:
      node, before and latest (as in `ckptptr show`), verdict, why, warnings,
      checkpoint (what the next attempt restores now), undo [arguments] or null, undo_command,
      kept_as (where the bytes of a damaged LATEST are)
    """
    chosen = _chosen(here, checkpoint, step)
    if chosen.strip().lower() == FRESH and not yes:
        _confirm_fresh()
    try:
        before, _ = here.for_writing().chooser.use(chosen, note)
    except (NotFoundError, DamagedError) as error:
        hint = error.hint or f"What can be chosen: ckptptr log {shlex.quote(here.url)}"
        raise type(error)(error.message, key=error.key, hint=hint) from error
    try:
        shown = explain(here)
        undo = _undo(here, before, shown.latest)
    except CkptptrError as error:
        message = f"LATEST is held as you asked, but what comes of it could not be seen ({error.message})"
        hint = f"Look again: ckptptr show {shlex.quote(here.url)}"
        raise type(error)(message, key=error.key, hint=hint) from error
    used = shapes.Use(
        node=here.url,
        before=latest_of(here, before),
        latest=shown.latest,
        verdict=shown.verdict,
        why=shown.why,
        warnings=shown.warnings,
        checkpoint=shown.checkpoint,
        undo=undo,
        undo_command=shlex.join(undo) if undo else None,
        kept_as=here.store.url(here.latest.kept_key(before)) if before.damage else None,
    )
    if as_json:
        click.echo(shapes.encode(used))
    else:
        _print(used, headline(shown))


def _chosen(here: Here, checkpoint: str | None, step: int | None) -> str:
    """The reference that is meant."""
    if (checkpoint is None) == (step is None):
        raise click.UsageError("Give either CHECKPOINT or --step.")
    if step is not None:
        return _of_step(here, step)
    name = (checkpoint or "").strip()
    if name.startswith("#") and name[1:].isdecimal():
        return _on_line(here, int(name[1:]))
    if name.isdecimal():
        raise InvalidArgumentError(
            "a bare number could be a step or a line", key=name, hint=f"Say --step {name}, or '#{name}'"
        )
    return name


def _of_step(here: Here, step: int) -> str:
    entries = [*restorable(everything(here))]
    for entry in entries:
        if entry.step == step:
            return entry.checkpoint
    steps = ", ".join(dict.fromkeys(str(entry.step) for entry in entries if entry.step is not None))
    raise NotFoundError(
        f"no checkpoint of step {step} can be chosen",
        key=here.url,
        hint=f"There are the steps {steps}" if steps else "None of the checkpoints here says its step",
    )


def _on_line(here: Here, index: int) -> str:
    entries = everything(here).checkpoints
    if not 1 <= index <= len(entries):
        raise NotFoundError(f"`ckptptr log` has {len(entries)} lines, not a line {index}", key=here.url)
    return entries[index - 1].checkpoint


def _confirm_fresh() -> None:
    click.echo(
        "The next attempt would start from nothing. All checkpoints stay, and can be chosen again.", err=True
    )
    with suppress(click.Abort):  # nobody is there to answer
        if click.confirm("Start fresh?", err=True):
            return
    raise InvalidArgumentError(
        "a fresh start was not confirmed, nothing was changed", hint="--yes confirms it"
    )


_NO_GOOD = (NotFoundError, DamagedError, InvalidArgumentError, UnsupportedFormatError)
_REMOVE = {"s3": ["aws", "s3", "rm"], "file": ["rm"]}


def _undo(here: Here, before: Seen, now: shapes.Latest) -> list[str] | None:
    """The command that lets LATEST name what it named; None where that is nothing, or no good."""
    pointer = before.pointer
    if pointer is None:
        remove = _REMOVE.get(here.node.root.scheme)
        return [*remove, here.latest.url] if remove and not before.damage else None
    if pointer.target.checkpoint == now.checkpoint:
        return None
    options = list(here.arguments)
    if pointer.target.is_fresh:
        return ["ckptptr", "use", here.url, FRESH, "--yes", *options]
    try:
        reference = here.chooser.find(pointer.target.checkpoint).reference
    except _NO_GOOD:
        return None  # what stood there cannot be chosen
    note = ["--note", pointer.note] if pointer.note else []
    return ["ckptptr", "use", here.url, _shortest(here, reference), *note, *options]


def _shortest(here: Here, reference: str) -> str:
    """The id, where it leads to that checkpoint, as it does not to one from another bucket."""
    short = short_reference(reference)
    with suppress(*_NO_GOOD):
        if here.chooser.find(short).reference == reference:
            return short
    return reference


def _print(used: shapes.Use, headline: str) -> None:
    out = Output()
    now = in_words(used.checkpoint) if used.checkpoint else "none, a fresh start"
    out.headline(f"LATEST is held on {now}." if used.latest.held else "Done, and already taken up.")
    out.blank()
    out.facts(
        [
            ("before", _said(used.before)),
            ("now", Cell(_said(used.latest), "green")),
            *([("note", used.latest.note)] if used.latest.note else []),
            *([("kept as", used.kept_as)] if used.kept_as else []),
        ]
    )
    out.blank()
    out.sentence(f"{headline} It takes the choice up, once.")
    out.sentence("An attempt that is running now goes on saving, and does not move LATEST.")
    for warning in used.warnings:
        out.sentence(warning, "yellow")
    out.blank()
    if used.undo_command:
        held = used.before.state != "absent" and not used.before.held
        out.sentence("To undo (what it named is then held in turn):" if held else "To undo:", "dim")
        out.line("  ", used.undo_command)
    else:
        out.sentence(f"To undo: {_no_undo(used)}", "dim")


def _said(latest: shapes.Latest) -> str:
    if latest.damage:
        return latest.damage
    if latest.state == "absent":
        return "LATEST was absent"
    step = "" if latest.step is None else f"step {latest.step}, "
    held = ", held" if latest.held else ""
    return f"{step}{short_reference(latest.checkpoint)}{held}"


def _no_undo(used: shapes.Use) -> str:
    if used.before.damage:
        return "there is nothing to go back to. The damaged bytes are kept."
    if used.before.state == "absent":
        return f"delete {used.latest.url}"
    if used.before.checkpoint == used.latest.checkpoint:
        return "there is nothing to go back to, LATEST named it before; only now it is held."
    return "there is no command, what LATEST named before cannot be restored."
