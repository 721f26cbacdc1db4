"""`ckptptr release`: remove the hold from LATEST."""

from __future__ import annotations

import click

from ckptptr.cli.choice import Choice, choosing, saying_what_can_be_chosen
from ckptptr.cli.command import node_command
from ckptptr.cli.confirm import confirm
from ckptptr.cli.move import confirm_fresh, moved, print_move
from ckptptr.cli.output import echo
from ckptptr.inspect import shapes
from ckptptr.inspect.log import everything, newer_than_held
from ckptptr.inspect.sentences import headline, short, short_reference, steps_in_words
from ckptptr.inspect.target import Here
from ckptptr.protocol.references import FRESH
from ckptptr.wording import counted


@node_command("release", "Remove the hold from LATEST: the next save moves it again.", shapes.Move)
@click.argument("checkpoint", required=False)
@choosing
@click.option("--yes", is_flag=True, help="Do not ask before a fresh start.")
def command(
    *,
    here: Here,
    as_json: bool,
    choice: Choice,
    yes: bool,
) -> None:
    """Remove the hold from LATEST. It names the same checkpoint, and the next save moves it again.

    With CHECKPOINT (as for `ckptptr use`) LATEST names that one instead, without a hold. This undoes a
    `use`. If a run has committed newer checkpoints beside the hold, say which is meant: without CHECKPOINT
    the command asks, and refuses if no person answers.
    """
    chosen = choice.on(here) if choice.is_made else None
    if chosen is None:
        _ask_about_newer(here)
    confirm_fresh(chosen or "", yes=yes)
    with saying_what_can_be_chosen(here):
        before, _ = here.for_writing().chooser.release(chosen)
    move = moved(here, "release", before)
    if as_json:
        echo(shapes.encode(move))
        return
    is_same = not before.is_held and move.before.checkpoint == move.latest.checkpoint
    print_move(
        move,
        "LATEST was not held; nothing was changed." if is_same else "LATEST is not held any more.",
        f"{headline(move.checkpoint)} An attempt that runs now moves LATEST with its next save.",
    )


def _ask_about_newer(here: Here) -> None:
    """A bare release leaves what a run committed beside the hold, and a later sweep deletes it."""
    if not here.latest.read().is_held:
        return
    log = everything(here)
    newer = newer_than_held(here, log)
    if newer:
        held = short_reference(log.latest.checkpoint)
        stay = [held, "--yes"] if held == FRESH else [held]
        confirm(
            f"LATEST would name {held}, and not {counted(len(newer), 'newer checkpoint')} that a run has"
            f" committed ({steps_in_words(newer)}). They would be deleted later.",
            f"Release on {held} all the same?",
            "the release",
            yes=False,
            hint=f"Keep the newest: {here.command('release', short(newer[0]))}. Or stay with what is held:"
            f" {here.command('release', *stay)}",
        )
