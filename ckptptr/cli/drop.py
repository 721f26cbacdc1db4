"""`ckptptr drop`: let bad checkpoints expire: attempts resume from others."""

from __future__ import annotations

from collections.abc import Sequence

import click

from ckptptr.cli.choice import Choice, saying_what_can_be_chosen
from ckptptr.cli.command import answer, node_command
from ckptptr.cli.confirm import confirm
from ckptptr.cli.move import WHEN_DELETED
from ckptptr.cli.output import INDENT, Output
from ckptptr.inspect import shapes
from ckptptr.inspect.describe import checkpoint_by_name, latest_of
from ckptptr.inspect.sentences import in_words, short
from ckptptr.inspect.target import Here
from ckptptr.protocol.pointer import Target
from ckptptr.wording import counted


@node_command("drop", "Let bad checkpoints expire: attempts resume from others.", shapes.Drop)
@click.argument("checkpoints", nargs=-1)
@click.option(
    "--step", "steps", type=int, multiple=True, metavar="N", help="The newest of that step; repeatable."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(
    *, here: Here, as_json: bool, checkpoints: tuple[str, ...], steps: tuple[int, ...], yes: bool
) -> None:
    """Let checkpoints expire by hand: those with NaN in them, for example, after a rollback.

    CHECKPOINT as for `ckptptr use`; several may be given. LATEST lists them as expired, as if retention
    had released them, and never names them again. No attempt resumes from one while another can be
    restored; the next sweep deletes it. The target of LATEST cannot be dropped: choose another one first
    (`rollback --drop` does both). Unpin a pinned one first.

    Asks first, unless --yes is given. This cannot be undone.
    """
    choices = [*(Choice(checkpoint=name) for name in checkpoints), *(Choice(step=step) for step in steps)]
    if not choices:
        raise click.UsageError("Give CHECKPOINT or --step.")
    with saying_what_can_be_chosen(here):
        chooser = here.for_writing().chooser
        references = [*dict.fromkeys(chooser.droppable(choice.on(here)) for choice in choices)]
        pointer = here.latest.read().pointer
        named = [(pointer and pointer.find(name)) or Target(checkpoint=name) for name in references]
        dropped = [checkpoint_by_name(here, target) for target in named]
        confirm_drop(dropped, yes=yes)
        _, seen = chooser.drop(references)
    told = shapes.Drop(node=here.url, checkpoints=dropped, latest=latest_of(here, seen))
    answer(told, lambda told: _print(told, here.command("sweep")), as_json=as_json)


def confirm_drop(dropped: Sequence[shapes.Checkpoint], *, yes: bool) -> None:
    """Ask whether these are to expire.

    Raises:
        InvalidArgumentError: the answer was no, or there was none.
    """
    listed = "".join(f"\n{INDENT}{in_words(checkpoint)} ({short(checkpoint)})" for checkpoint in dropped)
    what = f"{counted(len(dropped), 'checkpoint')} would be dropped for good. This cannot be undone.{listed}"
    if dropped:
        confirm(what, "Drop?", "the drop", yes=yes)


def _print(told: shapes.Drop, sweep: str) -> None:
    out = Output()
    out.headline(f"Dropped: {counted(len(told.checkpoints), 'checkpoint')}.")
    for checkpoint in told.checkpoints:
        out.line(INDENT, in_words(checkpoint), INDENT, short(checkpoint))
    out.sentence(WHEN_DELETED)
    if told.latest.held:
        out.sentence("While LATEST is held nothing is deleted.", "yellow")
        return
    out.blank()
    out.sentence("To delete it now, if no run is under way:", "dim")
    out.line("  ", sweep)
