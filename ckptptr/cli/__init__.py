"""The command `ckptptr`: for people in trouble at 3 a.m. with nothing but access to the bucket.

One file per command; what they share is in `target` (which node is meant), `command` (options, errors),
`shapes` (what `--json` prints), `output` and `exit_codes`. No rule of the protocol lives here: a
command asks the library, and words the answer. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from importlib import import_module

import click

from ckptptr.cli.exit_codes import as_table
from ckptptr.cli.verbosity import verbose_option
from ckptptr.version import __version__

COMMANDS = {
    "show": "show:command",
    "log": "log:command",
    "doctor": "doctor:command",
    "use": "use:command",
    "rollback": "rollback:command",
    "release": "release:command",
    "pin": "pin:command",
    "unpin": "pin:unpin",
    "verify": "verify:command",
    "get": "get:command",
    "put": "put:command",
    "export": "export:command",
    "sweep": "sweep:command",
    "find": "find:command",
    "report": "report:command",
    "simulate": "simulate:command",
}
"""The module and the object in it."""

EPILOG = f"""\b
TARGET is one of:
  s3://bucket/data/_ckptptr/<project>/<domain>/<execution>/<node>
                        a node of Flyte: its node prefix
  s3://bucket/data/_ckptptr/<project>/<domain>/<execution>
                        an execution: its node, where it has just one
  s3://bucket/data/<shard>/<uid>/_flytecheckpoints
                        the --checkpoint-path of a pod, or anything inside it
  <execution>, <execution>/<node>
                        with --root s3://bucket/data
  s3://bucket/run-42    what was given to ckptptr.open(), local paths too
  .../LATEST            the LATEST of either

\b
Exit codes:
{as_table()}

\b
Completion of commands and options, for the shell's start-up file:
  bash   eval "$(_CKPTPTR_COMPLETE=bash_source ckptptr)"
  zsh    eval "$(_CKPTPTR_COMPLETE=zsh_source ckptptr)"
  fish   _CKPTPTR_COMPLETE=fish_source ckptptr | source

Without colours: NO_COLOR=1.
"""


class Commands(click.Group):
    """Loads the module of a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(f"ckptptr.cli.{module}"), name)
        return command


@click.command(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="ckptptr", message="%(prog)s %(version)s")
@verbose_option
def main() -> None:
    """Checkpoints that are always found, always whole, and can be chosen by hand."""
