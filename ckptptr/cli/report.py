"""`ckptptr report`: a page to look at, in one file."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import click
import msgspec

from ckptptr.cli.command import node_command
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.cli.output import echo
from ckptptr.errors import InvalidArgumentError, LocalDiskError
from ckptptr.inspect import shapes
from ckptptr.inspect.execution import Execution
from ckptptr.inspect.target import Here
from ckptptr.report.facts import Report, gather, gather_execution
from ckptptr.report.page import MARK, execution_page, page
from ckptptr.wording import counted

_STDOUT = "-"


@node_command("report", "A page to look at: attempts, checkpoints, sizes, lineage.", Report, executions=True)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    help="Where to write the page; '-' is stdout. Default: ckptptr-<node>.html in the current folder.",
)
@click.option("--force", is_flag=True, help="Overwrite a file that is no report.")
@click.pass_context
def command(
    ctx: click.Context, here: Here | Execution, as_json: bool, output: str | None, force: bool
) -> None:
    """Write a page to look at: a timeline of the attempts and their checkpoints, what each attempt
    resumed from and why, sizes, and what the next attempt would restore.

    It is one HTML file without scripts. It needs no network: open it in any browser, mail it, or attach
    it to a ticket. An older report is overwritten; any other file only with --force. With --json there
    is no page.

    TARGET may be an execution: the page is then an overview with a small picture of each node, and each node.


    The exit code is 3 if the node has no checkpoint.
    """
    if as_json and (output or force):
        raise click.UsageError("--json prints to stdout, and writes no page.")
    if not as_json and output != _STDOUT:
        path = Path(output or _default_name(here))
        _refuse_others(path, force=force)
    if isinstance(here, Execution):
        told = gather_execution(here)
        as_page = partial(execution_page, told)
        count = counted(sum(row.nodes for row in told.rows), "node")
        shape: msgspec.Struct = told
        headline, is_empty = f"{count} of {told.execution}.", False
    else:
        report = gather(here)
        as_page, shape = partial(page, report), report
        headline, is_empty = report.headline, not report.checkpoints
    if as_json:
        echo(shapes.encode(shape))
    elif output == _STDOUT:
        echo(as_page().encode(), nl=False)
    else:
        _write(path, as_page())
        echo(f"{headline} The page is {path}")
    if is_empty:
        ctx.exit(ExitCode.NOTHING_FOUND)


def _default_name(here: Here | Execution) -> str:
    """`ckptptr-<execution>-<node>.html`, or after the folder that was given to `ckptptr.open`."""
    if isinstance(here, Execution):
        names = [here.key.rpartition("/")[2]]
    else:
        names = here.node.prefix.split("/")[-2 if here.is_flyte else -1 :]
    return f"ckptptr-{re.sub(r'[^A-Za-z0-9._-]+', '_', '-'.join(names))}.html"


def _refuse_others(path: Path, *, force: bool) -> None:
    """A report may be overwritten: a person who asks again wants the new one. Any other file stays."""
    if force or not path.exists():
        return
    is_report = False
    if path.is_file():
        with path.open("rb") as file:
            is_report = MARK.encode() in file.read(200)
    if not is_report:
        raise InvalidArgumentError("this file is no report", key=str(path), hint="--force overwrites it")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LocalDiskError(f"the page cannot be written ({error.strerror})", key=str(path)) from error
