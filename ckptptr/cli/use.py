"""`ckptptr use`: hold LATEST on a checkpoint that a person chose."""

from __future__ import annotations

import click

from ckptptr.cli.choice import Choice, choosing, saying_what_can_be_chosen
from ckptptr.cli.command import node_command
from ckptptr.cli.move import confirm_fresh, tell_held
from ckptptr.inspect import shapes
from ckptptr.inspect.target import Here


@node_command("use", "Choose the checkpoint that the next attempt restores.", shapes.Move)
@click.argument("checkpoint", required=False)
@choosing
@click.option("--note", default="", metavar="TEXT", help="For the next person who reads LATEST.")
@click.option("--yes", is_flag=True, help="Do not ask before a fresh start.")
def command(
    *,
    here: Here,
    as_json: bool,
    choice: Choice,
    note: str,
    yes: bool,
) -> None:
    """Hold LATEST on a checkpoint: the next attempt resumes from it.

    CHECKPOINT is an id, a path or URI of a manifest or folder, '#3' for line 3 of `ckptptr log` (in
    quotes, since # begins a comment in a shell), or `none` for a fresh start. Nothing is deleted: the
    checkpoint that LATEST named goes into its history.

    Saves do not move a held LATEST. The next restore removes the hold.
    """
    chosen = choice.on(here)
    confirm_fresh(chosen, yes=yes)
    with saying_what_can_be_chosen(here):
        before, _ = here.for_writing().chooser.use(chosen, note)
    tell_held(here, "use", before, as_json=as_json)
