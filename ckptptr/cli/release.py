"""`ckptptr release`: remove the hold from LATEST."""

from __future__ import annotations

import click

from ckptptr.cli.choice import Choice, choosing, saying_what_can_be_chosen
from ckptptr.cli.command import node_command
from ckptptr.cli.move import confirm_fresh, moved, print_move
from ckptptr.inspect import shapes
from ckptptr.inspect.sentences import headline
from ckptptr.inspect.target import Here


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
    `use`.
    """
    chosen = choice.on(here) if choice.is_made else None
    confirm_fresh(chosen or "", yes=yes)
    with saying_what_can_be_chosen(here):
        before, _ = here.for_writing().chooser.release(chosen)
    move = moved(here, "release", before)
    if as_json:
        click.echo(shapes.encode(move))
        return
    is_same = not before.is_held and move.before.checkpoint == move.latest.checkpoint
    print_move(
        move,
        "LATEST was not held; nothing was changed." if is_same else "LATEST is not held any more.",
        f"{headline(move.checkpoint)} An attempt that runs now moves LATEST with its next save.",
    )
