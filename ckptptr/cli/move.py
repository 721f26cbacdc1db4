"""What the commands that move LATEST print: its old and new target, what comes next, how to undo it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import suppress

from ckptptr.cli.confirm import confirm
from ckptptr.cli.output import Cell, Output, echo
from ckptptr.errors import (
    CkptptrError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    UnsupportedFormatError,
)
from ckptptr.inspect import shapes
from ckptptr.inspect.describe import latest_of
from ckptptr.inspect.explain import explain
from ckptptr.inspect.sentences import headline, in_words, short_reference
from ckptptr.inspect.target import Here
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.references import FRESH

WHEN_DELETED = (
    "No attempt resumes from what was dropped while another checkpoint can be restored. The next sweep"
    " deletes it: that of a run, or `ckptptr sweep`."
)


def confirm_fresh(checkpoint: str, *, yes: bool) -> None:
    """Ask before a fresh start; other choices need no question."""
    if checkpoint.strip().lower() == FRESH:
        what = "The next attempt would start from scratch. All checkpoints stay, and can be chosen again."
        confirm(what, "Start fresh?", "a fresh start", yes=yes)


def moved(here: Here, command: str, before: Seen, dropped: Sequence[str] = ()) -> shapes.Move:
    """What happened to LATEST.

    Raises:
        CkptptrError: LATEST was moved, but the result cannot be read; the message says both.
    """
    try:
        shown = explain(here)
        undo = _undo(here, before, shown.latest)
    except CkptptrError as error:
        message = f"LATEST is now as you asked, but the result cannot be read ({error.message})"
        raise type(error)(message, key=error.key, hint=f"Look again: {here.command('show')}") from error
    return shapes.Move(
        command=command,
        node=here.url,
        before=latest_of(here, before, is_now=False),
        latest=shown.latest,
        verdict=shown.verdict,
        why=shown.why,
        warnings=shown.warnings,
        checkpoint=shown.checkpoint,
        undo=undo,
        undo_command=shlex.join(undo) if undo else None,
        kept_as=here.store.url(here.latest.kept_key(before)) if before.damage and before.token else None,
        dropped=[*dropped],
    )


def tell_held(here: Here, command: str, before: Seen, *, as_json: bool, dropped: Sequence[str] = ()) -> None:
    """Print a move that holds LATEST."""
    move = moved(here, command, before, dropped)
    if as_json:
        echo(shapes.encode(move))
        return
    now = in_words(move.checkpoint) if move.checkpoint else "none, a fresh start"
    print_move(
        move,
        f"LATEST is held on {now}." if move.latest.held else "Done; an attempt has restored it already.",
        f"{headline(move.checkpoint)} Its restore removes the hold.",
        "An attempt that runs now continues to save, and does not move LATEST.",
        *([f"Dropped: {', '.join(map(short_reference, dropped))}. {WHEN_DELETED}"] if dropped else []),
    )


def print_move(move: shapes.Move, done: str, *remarks: str) -> None:
    """As text; `done` is the first line."""
    out = Output()
    out.headline(done)
    out.blank()
    out.facts(
        [
            ("before", _said(move.before)),
            ("now", Cell(_said(move.latest), "green")),
            *([("note", move.latest.note)] if move.latest.note else []),
            *([("kept as", move.kept_as)] if move.kept_as else []),
        ]
    )
    out.blank()
    for remark in remarks:
        out.sentence(remark)
    for warning in move.warnings:
        out.sentence(warning, "yellow")
    out.blank()
    if move.undo_command:
        out.sentence("To undo:", "dim")
        out.line("  ", move.undo_command)
    else:
        out.sentence(f"To undo: {_no_undo(move)}", "dim")


_NO_GOOD = (NotFoundError, DamagedError, InvalidArgumentError, UnsupportedFormatError)
_REMOVE = {"s3": ["aws", "s3", "rm"], "gs": ["gcloud", "storage", "rm"], "file": ["rm"]}


def _undo(here: Here, before: Seen, now: shapes.Latest) -> list[str] | None:
    """The command that makes LATEST what it was; None if that was nothing, or cannot be chosen."""
    pointer = before.pointer
    if pointer is None:
        remove = _REMOVE.get(here.node.root.scheme)
        return [*remove, here.latest.url] if remove and not before.damage else None
    is_same = pointer.target.checkpoint == now.checkpoint
    if is_same and pointer.held == now.held:
        return None
    command = ["ckptptr", "use" if pointer.held else "release", here.url]
    note = ["--note", pointer.note] if pointer.held and pointer.note else []
    if is_same and not pointer.held:
        return [*command, *here.arguments]
    if pointer.target.is_fresh:
        return [*command, FRESH, "--yes", *note, *here.arguments]
    seen = here.latest.read()
    with suppress(*_NO_GOOD):  # what LATEST named cannot be chosen, and nor can what the move dropped
        reference = here.chooser.find(pointer.target.checkpoint, seen).reference
        if reference not in seen.expired:
            return [*command, _shortest(here, reference), *note, *here.arguments]
    return None


def _shortest(here: Here, reference: str) -> str:
    """The id if it leads to that checkpoint, else the reference: an id does not lead to another bucket."""
    short = short_reference(reference)
    with suppress(*_NO_GOOD):
        if here.chooser.find(short).reference == reference:
            return short
    return reference


def _said(latest: shapes.Latest) -> str:
    if latest.damage:
        return latest.damage
    if latest.state == "absent":
        return "LATEST was absent"
    step = "" if latest.step is None else f"step {latest.step}, "
    held = ", held" if latest.held else ""
    return f"{step}{short_reference(latest.checkpoint)}{held}"


def _no_undo(move: shapes.Move) -> str:
    if move.before.damage:
        kept = " Its bytes are kept." if move.kept_as else ""
        return f"not possible, LATEST was damaged.{kept}"
    if move.before.state == "absent":
        return f"delete {move.latest.url}"
    if move.before.checkpoint == move.latest.checkpoint:
        return "there is nothing to go back to, LATEST was the same before."
    return "not possible, what LATEST named before cannot be chosen."
