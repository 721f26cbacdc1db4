"""Asking before what cannot simply be undone; `--yes` answers where nobody is there to."""

from __future__ import annotations

from contextlib import suppress

import click

from ckptptr.errors import InvalidArgumentError


def confirm(what: str, question: str, name: str, *, yes: bool) -> None:
    """Go on only where somebody agrees.

    Raises:
        InvalidArgumentError: nobody did.
    """
    if yes:
        return
    click.echo(what, err=True)
    with suppress(click.Abort):  # nobody is there to answer
        if click.confirm(question, err=True):
            return
    raise InvalidArgumentError(f"{name} was not confirmed, nothing was changed", hint="--yes confirms it")
