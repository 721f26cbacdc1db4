"""`ckptptr rollback`: hold LATEST on an earlier checkpoint."""

from __future__ import annotations

import click

from ckptptr.cli.choice import saying_what_can_be_chosen
from ckptptr.cli.command import node_command
from ckptptr.cli.move import tell_held
from ckptptr.inspect import shapes
from ckptptr.inspect.target import Here


@node_command("rollback", "Go one or more checkpoints back.", shapes.Move)
@click.option("-n", "back", type=click.IntRange(min=1), default=1, metavar="N", help="How many; default 1.")
@click.option("--note", default="", metavar="TEXT", help="For the next person who reads LATEST.")
def command(*, here: Here, as_json: bool, back: int, note: str) -> None:
    """Hold LATEST on the checkpoint before the one that it names, or on the N-th before.

    Follows the history of LATEST. It skips checkpoints that an earlier `use` or rollback moved away
    from. Otherwise it is the same as `ckptptr use`.
    """
    with saying_what_can_be_chosen(here):
        before, _ = here.for_writing().chooser.rollback(back, note)
    tell_held(here, "rollback", before, as_json=as_json)
