"""`ckptptr pin` and `ckptptr unpin`: keep a checkpoint, or leave it to retention again."""

from __future__ import annotations

import shlex

import click

from ckptptr.cli.choice import Choice, choosing, saying_what_can_be_chosen
from ckptptr.cli.command import answer, node_command
from ckptptr.cli.output import Output
from ckptptr.errors import DamagedError
from ckptptr.inspect import shapes
from ckptptr.inspect.describe import checkpoint_by_name, checkpoint_of, latest_of
from ckptptr.inspect.sentences import in_words, short
from ckptptr.inspect.target import Here
from ckptptr.protocol.pointer import Target


@node_command("pin", "Keep a checkpoint, whatever retention says.", shapes.Pin)
@click.argument("checkpoint", required=False)
@choosing
@click.option("--note", default="", metavar="TEXT", help="Why; stored with the pin.")
def command(
    *,
    here: Here,
    as_json: bool,
    choice: Choice,
    note: str,
) -> None:
    """Keep a checkpoint, whatever retention says: no sweep deletes it.

    CHECKPOINT as for `ckptptr use`. The pin is a small object beside the manifest, and an entry in LATEST;
    the target of LATEST stays. A lifecycle rule of the bucket deletes pinned checkpoints all the same.
    """
    _set(here, choice, pinned=True, note=note, as_json=as_json)


@node_command("unpin", "Let retention decide about a checkpoint again.", shapes.Pin)
@click.argument("checkpoint", required=False)
@choosing
def unpin(*, here: Here, as_json: bool, choice: Choice) -> None:
    """Let retention decide about a checkpoint again.

    CHECKPOINT as for `ckptptr use`. This deletes nothing. After the next save of a run, the checkpoint may
    expire.
    """
    _set(here, choice, pinned=False, note="", as_json=as_json)


def _set(here: Here, choice: Choice, *, pinned: bool, note: str, as_json: bool) -> None:
    chosen = choice.on(here)
    with saying_what_can_be_chosen(here):
        chooser = here.for_writing().chooser
        was_pinned = chooser.is_pinned(chosen)
        if pinned:
            checkpoint = checkpoint_of(here, chooser.pin(chosen, note), pinned=True)
        else:
            checkpoint = _described(here, chooser.unpin(chosen))
    seen, undo = here.latest.read(), None
    may_be_pinned = checkpoint.files is not None and checkpoint.checkpoint not in seen.expired
    if was_pinned != pinned and may_be_pinned:
        undo = ["ckptptr", "unpin" if pinned else "pin", here.url, short(checkpoint), *here.arguments]
    told = shapes.Pin(
        command="pin" if pinned else "unpin",
        node=here.url,
        checkpoint=checkpoint,
        pinned=pinned,
        was_pinned=was_pinned,
        latest=latest_of(here, seen),
        undo=undo,
        undo_command=shlex.join(undo) if undo else None,
    )
    answer(told, _print, as_json=as_json)


def _described(here: Here, reference: str) -> shapes.Checkpoint:
    try:
        return checkpoint_of(here, here.chooser.find(reference))
    except DamagedError:
        return checkpoint_by_name(here, Target(checkpoint=reference))


def _print(told: shapes.Pin) -> None:
    out = Output()
    name = in_words(told.checkpoint).capitalize()
    state = "pinned" if told.pinned else "not pinned"
    if told.pinned == told.was_pinned:
        out.headline(f"{name} was {state} before; nothing was changed.")
        return
    out.headline(f"{name} is {state}{'' if told.pinned else ' any more'}.")
    if told.undo_command is None:
        out.sentence("It has expired, or is damaged: it cannot be pinned again.")
        return
    out.sentence(
        "No sweep deletes it. The target of LATEST is as before."
        if told.pinned
        else "It stays until the retention of a run releases it."
    )
    out.blank()
    out.sentence("To undo:", "dim")
    out.line("  ", told.undo_command)
