"""`-v`: the log of the library, on stderr. It may stand before the command or after it."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

import click

from ckptptr.logs import formatter

_KEY = "ckptptr.verbosity"


def _add_up(ctx: click.Context, _: click.Parameter, times: int) -> None:
    ctx.meta[_KEY] = ctx.meta.get(_KEY, 0) + times


verbose_option = click.option(
    "-v",
    "--verbose",
    count=True,
    expose_value=False,
    callback=_add_up,
    help="Print the log on stderr; twice for more.",
)


@contextlib.contextmanager
def logging_to_stderr(ctx: click.Context) -> Iterator[None]:
    """As `-v` asks. Without it not even warnings: each command says in its own words what is wrong."""
    wanted = ctx.meta.get(_KEY, 0)
    handler = logging.StreamHandler(sys.stderr) if wanted else logging.NullHandler()
    handler.setFormatter(formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("ckptptr")
    level = logger.level
    logger.addHandler(handler)
    if wanted:
        logger.setLevel(logging.INFO if wanted == 1 else logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
