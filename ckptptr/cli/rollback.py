"""`ckptptr rollback`: hold LATEST on an earlier checkpoint."""

from __future__ import annotations

import click

from ckptptr.cli.choice import saying_what_can_be_chosen
from ckptptr.cli.command import node_command
from ckptptr.cli.drop import confirm_drop
from ckptptr.cli.move import tell_held
from ckptptr.inspect import shapes
from ckptptr.inspect.describe import checkpoint_by_name
from ckptptr.inspect.target import Here


@node_command("rollback", "Go one or more checkpoints back.", shapes.Move)
@click.option("-n", "back", type=click.IntRange(min=1), default=1, metavar="N", help="How many; default 1.")
@click.option("--note", default="", metavar="TEXT", help="For the next person who reads LATEST.")
@click.option("--drop", is_flag=True, help="Also drop the checkpoints that it moves away from.")
@click.option("--yes", is_flag=True, help="Do not ask before checkpoints are dropped.")
def command(*, here: Here, as_json: bool, back: int, note: str, drop: bool, yes: bool) -> None:
    """Hold LATEST on the checkpoint before the one that it names, or on the N-th before.

    Follows the history of LATEST. It skips checkpoints that an earlier `use` or rollback moved away
    from. Otherwise it is the same as `ckptptr use`.

    With --drop the checkpoints that it moves away from cannot be chosen again: see `ckptptr drop`. Those
    that are pinned or belong to another node stay.
    """
    dropped: list[str] = []
    with saying_what_can_be_chosen(here):
        chooser = here.for_writing().chooser
        if drop:
            passed = chooser.passed_by(back)
            dropped = [entry.checkpoint for entry in passed]
            confirm_drop([checkpoint_by_name(here, entry) for entry in passed], yes=yes)
        before, _ = chooser.rollback(back, note, dropped)
    tell_held(here, "rollback", before, as_json=as_json, dropped=dropped)
