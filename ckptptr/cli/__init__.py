"""The command `ckptptr`: for people in trouble at 3 a.m. with nothing but access to the bucket.

One file per command. They share `command` (options, errors), `output` (how it is printed), `json_help`
and `exit_codes`. May import all of ckptptr; only click and rich live here and nowhere else.
The rule: a command asks the library, prints the answer as text or JSON, and decides nothing itself.
Nothing heavy is imported before a command runs.
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
    "drop": "drop:command",
    "pin": "pin:command",
    "unpin": "pin:unpin",
    "verify": "verify:command",
    "get": "get:command",
    "put": "put:command",
    "export": "export:command",
    "sweep": "sweep:command",
    "find": "find:command",
    "du": "du:command",
    "clean": "clean:command",
    "report": "report:command",
    "simulate": "simulate:command",
}
"""The module below ckptptr.cli, and the name in it."""

EPILOG = f"""\b
TARGET is one of:
  s3://bucket/data/_ckptptr/<project>/<domain>/<execution>/<node>
                        a node of Flyte, by its node prefix
  s3://bucket/data/_ckptptr/<project>/<domain>/<execution>
                        an execution: with one node, or for doctor, verify, sweep, report
  s3://bucket/data/<shard>/<uid>/_flytecheckpoints
                        the --checkpoint-path of a pod, or anything inside it
  <execution>, <execution>/<node>
                        with --root s3://bucket/data
  s3://bucket/run-42    a run outside Flyte: the URL or path given to ckptptr.open()
  .../LATEST            the LATEST of a node or run
  any folder            with manifests/ and data/ in it: a home that was copied
  The beginning of the name of an execution or node, if only one begins so.

\b
Exit codes:
{as_table()}

\b
Tab completion, for the start-up file of your shell:
  bash   eval "$(_CKPTPTR_COMPLETE=bash_source ckptptr)"
  zsh    eval "$(_CKPTPTR_COMPLETE=zsh_source ckptptr)"
  fish   _CKPTPTR_COMPLETE=fish_source ckptptr | source

NO_COLOR=1 switches colours off.
"""


class Commands(click.Group):
    """Imports the module of a command when the command is used."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
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
