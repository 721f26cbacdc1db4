"""`ckptptr put`: make a checkpoint of local files, and hold LATEST on it."""

from __future__ import annotations

from typing import Any

import click

from ckptptr.cli.command import node_command
from ckptptr.cli.move import tell_held
from ckptptr.cli.pairs import json_or_text, pairs_option
from ckptptr.errors import CkptptrError, InvalidArgumentError
from ckptptr.inspect import shapes
from ckptptr.inspect.target import Here, last_attempt
from ckptptr.nodes.plain import node_at
from ckptptr.protocol.manifest import plain_metadata
from ckptptr.session.content import change_of
from ckptptr.session.put import put
from ckptptr.session.session import Session
from ckptptr.transfer.folder import Links
from ckptptr.transfer.progress import at_once


@node_command("put", "Make a checkpoint of a local folder, and hold LATEST on it.", shapes.Move)
@click.argument("folder", type=click.Path(exists=True))
@click.option("--step", type=int, metavar="N", help="The training step of this checkpoint.")
@pairs_option(
    "--metadata",
    "metadata",
    read=json_or_text,
    help="Repeatable. A VALUE that is JSON is read as JSON: loss=0.1.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="PATTERN",
    help="Repeatable. As in .gitignore: what it matches is left out.",
)
@click.option(
    "--links",
    type=click.Choice(["follow", "skip", "refuse"]),
    help="Symbolic links that lead out of the folder, or nowhere.",
)
@click.option("--note", default="", metavar="TEXT", help="For the next person who reads LATEST.")
def command(
    *,
    here: Here,
    as_json: bool,
    folder: str,
    step: int | None,
    metadata: dict[str, Any],
    ignore: tuple[str, ...],
    links: Links | None,
    note: str,
) -> None:
    """Make a checkpoint of FOLDER (or of one file), and hold LATEST on it: the next attempt resumes from it.

    It becomes the newest checkpoint of the last attempt that left something. An attempt that runs now
    continues to save, and does not move LATEST.
    """
    last = max(min(here.node.attempt - 1, last_attempt(here.store, here.node.prefix)), 0)
    node = node_at(here.store, here.node.prefix, attempt=last, read_only=True)
    selection = Session(here.store, node, clock=here.clock).selection(ignore or None, links)
    content = change_of(folder, selection)
    if not content.files:
        raise InvalidArgumentError("this folder has no files", key=folder)
    writing = here.for_writing()
    session = Session(writing.store, node, clock=here.clock)
    metadata = plain_metadata(metadata)
    reference = put(session, content, step=step, metadata=metadata, showing=at_once("uploading"))
    try:
        before, _ = writing.chooser.use(reference, note)
    except CkptptrError as error:
        message = f"the checkpoint is committed, but LATEST does not name it ({error.message})"
        hint = f"Try: {here.command('use', reference)}"
        raise type(error)(message, key=error.key, hint=hint) from error
    tell_held(here, "put", before, as_json=as_json)
