"""A question before a change that is hard to undo. `--yes` answers it in a script."""

from __future__ import annotations

from contextlib import suppress

import click

from ckptptr.errors import InvalidArgumentError


def confirm(what: str, question: str, name: str, *, yes: bool, hint: str = "--yes confirms it") -> None:
    """Ask, and return if the answer is yes.

    Raises:
        InvalidArgumentError: the answer was no, or there was none.
    """
    if yes:
        return
    click.echo(what, err=True)
    with suppress(click.Abort):  # stdin is closed
        if click.confirm(question, err=True):
            return
    raise InvalidArgumentError(f"{name} was not confirmed, nothing was changed", hint=hint)
