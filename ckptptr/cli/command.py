"""What every command shares: TARGET, the options, and how an error is reported.

    @node_command("show", "What the next attempt would restore.", shapes.Show)
    def command(here: Here, as_json: bool) -> None: ...

    @store_command("find", "The nodes below a root.", root_shapes.Find)
    def command(as_json: bool, storage_options: dict[str, Any]) -> None: ...

An error of the library is one message, a hint and an exit code, on stderr; JSON with `--json`. It is
never a traceback.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
import msgspec

from ckptptr.cli.exit_codes import ExitCode, exit_code_of
from ckptptr.cli.json_help import write_json_help
from ckptptr.cli.output import OutputError, discard, echo, escape_what_streams_cannot_say
from ckptptr.cli.pairs import json_where_marked, pairs_option
from ckptptr.cli.verbosity import logging_to_stderr, verbose_option
from ckptptr.errors import CkptptrError, StoreUnavailableError
from ckptptr.inspect import shapes
from ckptptr.inspect.execution import execution_of
from ckptptr.inspect.target import Here, SeveralNodesError, locate
from ckptptr.wording import printable

_Shape = TypeVar("_Shape", bound=msgspec.Struct)


class ToldCommand(click.Command):
    """A command that prints a shape with `--json`; its errors go to people, or with `--json` to programs."""

    def __init__(self, *arguments: Any, shape: type[msgspec.Struct], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.shape = shape

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_json_help(self.shape, formatter)
        super().format_epilog(ctx, formatter)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        as_json = "--json" in args
        escape_what_streams_cannot_say()
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            if not as_json:
                raise
            _tell_usage(error)
            raise click.exceptions.Exit(ExitCode.USAGE) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with logging_to_stderr(ctx):
                return super().invoke(ctx)
        except CkptptrError as error:
            if isinstance(error, OutputError):
                discard(sys.stdout)
            try:
                _tell(error, as_json=ctx.params["as_json"])
            except OSError:  # stderr may be on the same disk; the exit code says it
                discard(sys.stderr)
            ctx.exit(exit_code_of(error))
        except click.UsageError as error:
            if not ctx.params["as_json"]:
                raise
            _tell_usage(error)
            ctx.exit(ExitCode.USAGE)
        except KeyboardInterrupt:
            if ctx.params["as_json"]:
                _tell_json(shapes.Error(code="interrupted", message="interrupted"), ExitCode.INTERRUPTED)
            else:
                click.echo("Interrupted.", err=True)
            ctx.exit(ExitCode.INTERRUPTED)
        except BrokenPipeError:
            discard(sys.stdout)
            ctx.exit(ExitCode.READER_CLOSED)


def _tell(error: CkptptrError, *, as_json: bool) -> None:
    if isinstance(error, StoreUnavailableError) and not error.hint:
        error.hint = "This says nothing about what is there. Try again; -v prints the log"
    details: Mapping[str, list[str]] = getattr(error, "details", {})
    if as_json:
        told = shapes.Error(code=error.code, message=error.message, key=error.key, hint=error.hint, **details)
        _tell_json(told, exit_code_of(error))
        return
    where = f": {error.key}" if error.key else ""
    click.secho("Error: ", fg=None if os.environ.get("NO_COLOR") else "red", bold=True, err=True, nl=False)
    click.echo(printable(f"{error.message}{where}"), err=True)
    for heading, lines in details.items():
        click.echo(f"{heading.replace('_', ' ').capitalize()}:", err=True)
        for line in lines:
            click.echo(f"  {printable(line)}", err=True)
    if error.hint:
        click.echo(printable(f"Hint: {error.hint}"), err=True)


def _tell_usage(error: click.UsageError) -> None:
    _tell_json(shapes.Error(code="usage", message=error.format_message()), ExitCode.USAGE)


def _tell_json(error: shapes.Error, exit_code: ExitCode) -> None:
    click.echo(shapes.encode(shapes.Failure(error=error, exit_code=int(exit_code))), err=True)


def answer(told: _Shape, print_text: Callable[[_Shape], None], *, as_json: bool) -> None:
    """Print what a command found: as JSON, or as text."""
    if as_json:
        echo(shapes.encode(told))
    else:
        print_text(told)


def store_command(
    name: str, short_help: str, shape: type[msgspec.Struct]
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command; the function gets `as_json`, `storage_options` and the parameters of its own."""
    return _decorated(name, short_help, shape, (verbose_option, STORAGE_OPTION, JSON_OPTION))


def tell_guess(here: Here) -> None:
    """TARGET was only the beginning of a name. JSON has the whole name itself."""
    if here.is_guessed and not click.get_current_context().params["as_json"]:
        click.echo(f"TARGET is taken as {here.url}", err=True)


def node_command(
    name: str,
    short_help: str,
    shape: type[msgspec.Struct],
    *,
    executions: bool = False,
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command on one node; the function gets `here`, `as_json` and the parameters of its own.

    Args:
        executions: TARGET may be an execution; `here` is then that.
    """

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(
            target: str, attempt: int | None, root: str | None, storage_options: dict[str, Any], **rest: Any
        ) -> None:
            try:
                here = locate(target, storage_options=storage_options, attempt=attempt, root=root)
            except SeveralNodesError as error:
                execution = execution_of(error, storage_options)
                if not executions or execution is None:
                    raise
                function(here=execution, **rest)
                return
            tell_guess(here)
            function(here=here, **rest)

        options = (verbose_option, attempt_option, root_option, STORAGE_OPTION, JSON_OPTION, _TARGET)
        return _decorated(name, short_help, shape, options)(run)

    return decorate


def _decorated(
    name: str,
    short_help: str,
    shape: type[msgspec.Struct],
    decorators: Sequence[Callable[[Callable[..., None]], Callable[..., None]]],
) -> Callable[[Callable[..., None]], click.Command]:
    def decorate(run: Callable[..., None]) -> click.Command:
        # The decorators run from the bottom up: the command's own parameters come after TARGET.
        for decorator in decorators:
            run = decorator(run)
        make = click.command(name, cls=ToldCommand, shape=shape, short_help=short_help, epilog=_EPILOG)
        command = make(run)
        command.params.sort(key=lambda parameter: parameter.name in _SHARED)  # stable: its own options first
        return command

    return decorate


_EPILOG = "Forms of TARGET, and exit codes: ckptptr --help"
_SHARED = ("as_json", "storage_options", "root", "attempt", "verbose")

_TARGET = click.argument("target")
JSON_OPTION = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON. Its keys stay, and keep their meaning."
)
STORAGE_OPTION = pairs_option(
    "--storage-option",
    "storage_options",
    read=json_where_marked,
    help="An option of the fsspec filesystem, repeatable: endpoint_url=http://localhost:9000, anon=true.",
)
flyte_2_option = click.option(
    "--flyte-2", is_flag=True, help="ROOT is the base of runs of Flyte 2: look into all shards."
)
root_option = click.option(
    "--root",
    metavar="URL",
    help="The raw-output base, such as s3://bucket/data. TARGET is then the name of an execution below it.",
)
attempt_option = click.option(
    "--attempt",
    type=click.IntRange(min=0),
    metavar="N",
    help="Look as attempt N would. Default: the one after the last attempt that left something.",
)
