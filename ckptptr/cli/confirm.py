"""A question before a change that is hard to undo. `--yes` answers it in a script; `--json` never asks."""

from __future__ import annotations

from contextlib import suppress

import click

from ckptptr.errors import InvalidArgumentError


def confirm(what: str, question: str, name: str, *, yes: bool, hint: str = "--yes confirms it") -> None:
    """Ask, and return if the answer is yes. With `--json` stderr is for one JSON error: no question.

    Raises:
        InvalidArgumentError: the answer was no, or there was none.
    """
    if yes:
        return
    if not click.get_current_context().params["as_json"]:
        click.echo(what, err=True)
        with suppress(click.Abort):  # stdin is closed
            if click.confirm(question, err=True):
                return
    raise InvalidArgumentError(f"{name} was not confirmed, nothing was changed", hint=hint)
